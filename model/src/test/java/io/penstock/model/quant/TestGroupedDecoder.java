package io.penstock.model.quant;

import static org.assertj.core.api.Assertions.assertThat;

import io.penstock.model.quant.WeightFormat.Grouped;
import io.penstock.model.quant.WeightFormat.Packing;
import io.penstock.model.quant.WeightFormat.Zeros;
import io.penstock.model.tensor.DType;
import io.penstock.model.tensor.Shape;
import java.lang.foreign.MemorySegment;
import java.lang.foreign.ValueLayout;
import java.util.EnumMap;
import java.util.Map;
import org.junit.jupiter.api.Test;
import org.junit.jupiter.params.ParameterizedTest;
import org.junit.jupiter.params.provider.CsvSource;

/// What a file tells without need is seen: symmetric models keep no zeros, ones in their natural
/// order no order.
final class TestGroupedDecoder {
    private static final int ROWS = 12;
    private static final int COLUMNS = 64;
    private static final int GROUP = 16;

    private static StoredTensor words(Shape shape, int value) {
        MemorySegment bytes = MemorySegment.ofArray(new byte[Math.toIntExact(4 * shape.elementCount())]);
        for (long i = 0; i < shape.elementCount(); i++) {
            bytes.set(ValueLayout.JAVA_INT_UNALIGNED, 4 * i, value);
        }
        return new StoredTensor(DType.I32, shape, bytes);
    }

    private static Grouped simplest(int rows, Grouped format, int zeroWord, int changedWord, int change, int[] order) {
        StoredMatrix matrix = new StoredMatrix(format, rows, COLUMNS);
        Map<Companion, StoredTensor> beside = new EnumMap<>(Companion.class);
        matrix.companions().forEach((companion, expected) -> {
            Shape shape = expected.shapes().getFirst();
            if (companion == Companion.SCALES) {
                beside.put(
                        companion,
                        new StoredTensor(
                                DType.F32,
                                shape,
                                MemorySegment.ofArray(new byte[Math.toIntExact(4 * shape.elementCount())])));
            } else if (companion == Companion.ZEROS) {
                StoredTensor zeros = words(shape, zeroWord);
                if (changedWord >= 0) {
                    zeros.bytes().set(ValueLayout.JAVA_INT_UNALIGNED, 4L * changedWord, change);
                }
                beside.put(companion, zeros);
            } else {
                StoredTensor groups = words(shape, 0);
                for (int i = 0; i < COLUMNS; i++) {
                    groups.bytes().set(ValueLayout.JAVA_INT_UNALIGNED, 4L * i, order[i]);
                }
                beside.put(companion, groups);
            }
        });
        MatrixDecoder decoder =
                MatrixDecoder.of(matrix, words(matrix.payload().shapes().getFirst(), 0x12345678), beside);
        return ((GroupedElements) decoder).simplest();
    }

    @ParameterizedTest
    @CsvSource({
        "4, STORED, 0x88888888",
        "4, STORED_LESS_ONE, 0x77777777",
        "8, STORED, 0x80808080",
        "8, STORED_LESS_ONE, 0x7f7f7f7f"
    })
    void zerosThatAreAllInTheMiddleAreSeen(int bits, Zeros zeros, String word) {
        int middle = Integer.parseUnsignedInt(word.substring(2), 16);
        for (Packing packing : Packing.values()) {
            Grouped format = new Grouped(bits, GROUP, packing, zeros, false);
            assertThat(simplest(16, format, middle, -1, 0, null).zeros()).isEqualTo(Zeros.MIDDLE);
            // One zero of one group is another.
            assertThat(simplest(16, format, middle, 3, middle ^ 0x100, null).zeros())
                    .isEqualTo(zeros);
        }
    }

    @Test
    void whatLiesBehindTheLastOutputIsNoZero() {
        Grouped format = new Grouped(4, GROUP, Packing.INPUTS_ACROSS, Zeros.STORED, false);
        // 12 outputs: the second word of a group holds four and nothing.
        int groups = COLUMNS / GROUP;
        assertThat(simplest(ROWS, format, 0x88888888, groups, 0x00008888, null).zeros())
                .isEqualTo(Zeros.MIDDLE);
        assertThat(simplest(ROWS, format, 0x88888888, groups, 0x00007888, null).zeros())
                .isEqualTo(Zeros.STORED);
        assertThat(simplest(ROWS, format, 0x88888888, 0, 0x00008888, null).zeros())
                .isEqualTo(Zeros.STORED);
    }

    @Test
    void anOrderThatIsNoneIsSeen() {
        Grouped format = new Grouped(4, GROUP, Packing.INPUTS_DOWN, Zeros.STORED_LESS_ONE, true);
        int[] order = new int[COLUMNS];
        for (int i = 0; i < COLUMNS; i++) {
            order[i] = i / GROUP;
        }
        assertThat(simplest(16, format, 0, -1, 0, order))
                .isEqualTo(new Grouped(4, GROUP, Packing.INPUTS_DOWN, Zeros.STORED_LESS_ONE, false));
        order[0] = 1;
        assertThat(simplest(16, format, 0, -1, 0, order).reordered()).isTrue();
    }
}
