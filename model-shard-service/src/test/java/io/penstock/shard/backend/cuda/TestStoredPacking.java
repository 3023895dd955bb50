package io.penstock.shard.backend.cuda;

import static org.assertj.core.api.Assertions.assertThat;
import static org.assertj.core.api.Assertions.assertThatThrownBy;

import io.penstock.model.PenstockException;
import io.penstock.model.quant.Companion;
import io.penstock.model.quant.GroupedElements;
import io.penstock.model.quant.MatrixDecoder;
import io.penstock.model.quant.StoredMatrix;
import io.penstock.model.quant.StoredTensor;
import io.penstock.model.quant.WeightFormat.Grouped;
import io.penstock.model.quant.WeightFormat.Packing;
import io.penstock.model.quant.WeightFormat.Scaled;
import io.penstock.model.quant.WeightFormat.Zeros;
import io.penstock.model.tensor.DType;
import io.penstock.model.tensor.Shape;
import io.penstock.shard.backend.cuda.DeviceWeights.Formats;
import io.penstock.shard.backend.cuda.StoredPacking.Rows;
import io.penstock.shard.backend.cuda.StoredPacking.Source;
import java.lang.foreign.MemorySegment;
import java.lang.foreign.ValueLayout;
import java.util.EnumMap;
import java.util.List;
import java.util.Map;
import java.util.Random;
import org.junit.jupiter.api.Test;
import org.junit.jupiter.params.ParameterizedTest;
import org.junit.jupiter.params.provider.EnumSource;

/// What is packed for the device, read back as weights.cu reads it, is what the stored matrix says.
final class TestStoredPacking {
    private static final int ROWS = 264;
    private static final int COLUMNS = 512;
    private final Random random = new Random(5);

    private MatrixDecoder stored(io.penstock.model.quant.WeightFormat format) {
        StoredMatrix matrix = new StoredMatrix(format, ROWS, COLUMNS);
        Map<Companion, StoredTensor> companions = new EnumMap<>(Companion.class);
        matrix.companions().forEach((companion, expected) -> companions.put(companion, tensor(expected)));
        return MatrixDecoder.of(matrix, tensor(matrix.payload()), companions);
    }

    /// Random bits for integers, small numbers of few digits for scales: f16 holds them.
    private StoredTensor tensor(StoredMatrix.Expected expected) {
        DType dtype = expected.dtypes().contains(DType.F32)
                ? DType.F32
                : expected.dtypes().iterator().next();
        var shape = expected.shapes().getFirst();
        byte[] bytes = new byte[Math.toIntExact(dtype.bytesFor(shape))];
        random.nextBytes(bytes);
        MemorySegment segment = MemorySegment.ofArray(bytes);
        if (dtype == DType.F32) {
            for (int i = 0; i < bytes.length / 4; i++) {
                segment.set(ValueLayout.JAVA_FLOAT_UNALIGNED, 4L * i, (1 + random.nextInt(64)) / 1024f);
            }
        } else if (dtype == DType.F8_E4M3) {
            for (int i = 0; i < bytes.length; i++) {
                bytes[i] = (bytes[i] & 0x7f) == 0x7f ? 0 : bytes[i];
            }
        }
        return new StoredTensor(dtype, shape, segment);
    }

    /// Values as `expand` in weights.cu makes them.
    private static float value(StoredPacking packing, byte[] data, float[] scales, int row, int column) {
        int columns = packing.columns();
        int granules = columns / 128;
        return switch (packing.format()) {
            case BF16 -> throw new AssertionError("bf16 is not packed");
            case FP8_ROWS -> fp8(data[row * columns + column]) * scales[row];
            case FP8_BLOCKS -> {
                int padded = (granules + 1) & ~1;
                yield fp8(data[row * columns + column]) * scales[2 * (row / 16 * padded + column / 128) + row / 8 % 2];
            }
            case INT4, INT4_ZEROS -> {
                MemorySegment all = MemorySegment.ofArray(data);
                int bytes = packing.format() == WeightFormat.INT4 ? 1056 : 1072;
                int granule = (row / 16 * granules + column / 128) * bytes;
                int c = column % 128;
                int at = granule + row % 16 / 8 * 512 + (row % 8 * 4 + c % 8 / 2) * 16 + c / 32 * 4;
                int word = all.get(ValueLayout.JAVA_INT_UNALIGNED, at);
                int code = (word >>> (4 * (c % 32 / 8) + c % 2 * 16)) & 15;
                float scale = Float.float16ToFloat(
                        all.get(ValueLayout.JAVA_SHORT_UNALIGNED, granule + 1024 + 2L * (row % 16)));
                int zero = packing.format() == WeightFormat.INT4 ? 8 : data[granule + 1056 + row % 16];
                yield (code - zero) * scale;
            }
        };
    }

    private static float fp8(byte code) {
        int magnitude = code & 0x7f;
        return Float.intBitsToFloat((code & 0x80) << 24 | magnitude << 20) * 0x1p120f;
    }

    private static byte[] pack(StoredPacking packing) {
        byte[] data = new byte[packing.tiles() * packing.tileBytes()];
        for (int tile = packing.tiles() - 1; tile >= 0; tile--) {
            packing.pack(tile, MemorySegment.ofArray(data), (long) tile * packing.tileBytes());
        }
        return data;
    }

    private void isWhatIsStored(io.penstock.model.quant.WeightFormat format) {
        MatrixDecoder one = stored(format);
        MatrixDecoder other = stored(format);
        WeightFormat device = StoredFormats.of(format);
        assertThat(device).isNotEqualTo(WeightFormat.BF16);
        // A rank's part: rows and columns from the middle, the last tile cut.
        int columns = 256;
        int count = 124;
        StoredPacking run = new StoredPacking(
                device,
                2 * count,
                columns,
                List.of(
                        new Source("one", one, 16, 128, count, 0, Rows.RUN),
                        new Source("other", other, 128, 128, count, count, Rows.RUN)));
        // A run whose sources share blocks of 8 rows cannot have a scale for each of these.
        if (device != WeightFormat.FP8_BLOCKS) {
            byte[] data = pack(run);
            float[] scales = run.scales();
            for (int row = 0; row < 2 * count; row++) {
                MatrixDecoder from = row < count ? one : other;
                int storedRow = row < count ? 16 + row : 128 + row - count;
                check(run, data, scales, row, from, storedRow, 128);
            }
        }
        StoredPacking halves = new StoredPacking(
                device,
                2 * 128,
                columns,
                List.of(
                        new Source("one", one, 128, 256, 128, 0, Rows.FIRST_EIGHT),
                        new Source("other", other, 128, 256, 128, 0, Rows.SECOND_EIGHT)));
        byte[] data = pack(halves);
        float[] scales = halves.scales();
        for (int row = 0; row < 256; row++) {
            check(halves, data, scales, row, row % 16 < 8 ? one : other, 128 + row / 16 * 8 + row % 8, 256);
        }
    }

    private static void check(
            StoredPacking packing,
            byte[] data,
            float[] scales,
            int row,
            MatrixDecoder from,
            int storedRow,
            int storedColumn) {
        float[] expected = new float[packing.columns()];
        from.decode(storedRow, storedColumn, expected.length, expected, 0);
        for (int column = 0; column < expected.length; column++) {
            assertThat(value(packing, data, scales, row, column))
                    .as("%s, row %d, column %d", packing.format(), row, column)
                    .isEqualTo(expected[column]);
        }
    }

    @ParameterizedTest
    @EnumSource(Packing.class)
    void groupsOfFourBitsKeepTheirIntegersScalesAndZeros(Packing packing) {
        for (Zeros zeros : Zeros.values()) {
            isWhatIsStored(new Grouped(4, 128, packing, zeros, false));
        }
        // One group a row, and of 256: each of 128 has its scale.
        isWhatIsStored(new Grouped(4, 0, packing, Zeros.STORED, false));
        isWhatIsStored(new Grouped(4, 256, packing, Zeros.MIDDLE, false));
    }

    /// What AutoGPTQ writes of a symmetric matrix: zeros that are all 8, an order that is none.
    private static MatrixDecoder gptq(Random random, int zero) {
        Grouped format = new Grouped(4, 128, Packing.INPUTS_DOWN, Zeros.STORED_LESS_ONE, true);
        StoredMatrix matrix = new StoredMatrix(format, ROWS, COLUMNS);
        Map<Companion, StoredTensor> beside = new EnumMap<>(Companion.class);
        matrix.companions().forEach((companion, expected) -> {
            var shape = expected.shapes().getFirst();
            DType dtype = companion == Companion.SCALES ? DType.F32 : DType.I32;
            MemorySegment bytes = MemorySegment.ofArray(new byte[Math.toIntExact(dtype.bytesFor(shape))]);
            for (int i = 0; i < shape.elementCount(); i++) {
                switch (companion) {
                    case SCALES -> bytes.set(ValueLayout.JAVA_FLOAT_UNALIGNED, 4L * i, (1 + i % 64) / 1024f);
                    case ZEROS -> bytes.set(ValueLayout.JAVA_INT_UNALIGNED, 4L * i, 0x11111111 * (zero - 1));
                    case GROUPS -> bytes.set(ValueLayout.JAVA_INT_UNALIGNED, 4L * i, i / 128);
                    case CODES, NESTED_SCALES, NESTED_CODES, STATE -> throw new AssertionError(companion);
                }
            }
            beside.put(companion, new StoredTensor(dtype, shape, bytes));
        });
        byte[] integers = new byte[ROWS * COLUMNS / 2];
        random.nextBytes(integers);
        StoredTensor payload =
                new StoredTensor(DType.I32, matrix.payload().shapes().getFirst(), MemorySegment.ofArray(integers));
        return MatrixDecoder.of(matrix, payload, beside);
    }

    @Test
    void symmetricGptqNeedsNoZeros() {
        MatrixDecoder symmetric = gptq(random, 8);
        MatrixDecoder other = gptq(random, 7);
        assertThat(StoredFormats.of(((GroupedElements) symmetric).simplest())).isEqualTo(WeightFormat.INT4);
        assertThat(StoredFormats.of(((GroupedElements) other).simplest())).isEqualTo(WeightFormat.INT4_ZEROS);
        StoredPacking packing = new StoredPacking(
                WeightFormat.INT4, ROWS, 256, List.of(new Source("q", symmetric, 0, 128, ROWS, 0, Rows.RUN)));
        byte[] data = pack(packing);
        // A key that is symmetric beside a query that is not: told zeros serve both.
        assertThat(StoredFormats.takes(WeightFormat.INT4_ZEROS, WeightFormat.INT4))
                .isTrue();
        assertThat(StoredFormats.takes(WeightFormat.INT4, WeightFormat.INT4_ZEROS))
                .isFalse();
        StoredPacking both = new StoredPacking(
                WeightFormat.INT4_ZEROS,
                2 * 128,
                256,
                List.of(
                        new Source("q", other, 0, 0, 128, 0, Rows.RUN),
                        new Source("k", symmetric, 0, 0, 128, 128, Rows.RUN)));
        byte[] bothData = pack(both);
        for (int row = 0; row < ROWS; row++) {
            check(packing, data, new float[0], row, symmetric, row, 128);
        }
        for (int row = 0; row < 256; row++) {
            check(both, bothData, new float[0], row, row < 128 ? other : symmetric, row % 128, 0);
        }
    }

    @Test
    void eightBitFloatsKeepTheirScales() {
        isWhatIsStored(Scaled.PER_TENSOR);
        isWhatIsStored(new Scaled(DType.F8_E4M3, 1, 0, 1));
        isWhatIsStored(new Scaled(DType.F8_E4M3, 128, 128, 1));
    }

    @Test
    void whatKernelsDoNotTakeBecomesBf16() {
        assertThat(List.of(
                        new Scaled(DType.F8_E5M2, 0, 0, 1),
                        new Scaled(DType.I8, 1, 0, 1 / 127f),
                        new Scaled(DType.F8_E4M3, 4, 128, 1),
                        new Grouped(8, 128, Packing.INPUTS_DOWN, Zeros.MIDDLE, false),
                        new Grouped(4, 64, Packing.INPUTS_DOWN, Zeros.MIDDLE, false),
                        new Grouped(4, 128, Packing.INPUTS_DOWN, Zeros.MIDDLE, true)))
                .allMatch(format -> StoredFormats.of(format) == WeightFormat.BF16);
    }

    @Test
    void aWeightOrScaleThatIsNoNumberIsRefused() {
        byte[] codes = new byte[32 * 256];
        codes[17 * 256 + 3] = (byte) 0xff;
        assertThatThrownBy(() -> pack(fp8(codes, 1)))
                .isInstanceOf(PenstockException.class)
                .hasMessageContaining("layers.0.q: row 17");
        StoredPacking packing = fp8(new byte[32 * 256], Float.POSITIVE_INFINITY);
        assertThatThrownBy(packing::scales)
                .isInstanceOf(PenstockException.class)
                .hasMessageContaining("layers.0.q: row 0");
    }

    private static StoredPacking fp8(byte[] codes, float scale) {
        MemorySegment scales = MemorySegment.ofArray(new byte[4]);
        scales.set(ValueLayout.JAVA_FLOAT_UNALIGNED, 0, scale);
        MatrixDecoder decoder = MatrixDecoder.of(
                new StoredMatrix(Scaled.PER_TENSOR, 32, 256),
                new StoredTensor(DType.F8_E4M3, Shape.of(32, 256), MemorySegment.ofArray(codes)),
                Map.of(Companion.SCALES, new StoredTensor(DType.F32, Shape.of(1), scales)));
        return new StoredPacking(
                WeightFormat.FP8_ROWS, 32, 256, List.of(new Source("layers.0.q", decoder, 0, 0, 32, 0, Rows.RUN)));
    }

    @Test
    void bf16IsTheNearerAndOfTwoTheEven() {
        assertThat(WeightUpload.bf16(1f)).isEqualTo((short) 0x3f80);
        assertThat(WeightUpload.bf16(1f + 0x1p-8f)).isEqualTo((short) 0x3f80);
        assertThat(WeightUpload.bf16(1f + 0x1p-8f + 0x1p-20f)).isEqualTo((short) 0x3f81);
        assertThat(WeightUpload.bf16(-1f - 3 * 0x1p-8f)).isEqualTo((short) 0xbf82);
    }

    @Test
    void aFormatThatTheModelsShapeDoesNotTakeIsRefused() {
        ShardShape odd = Shapes.of(480, 6, 6, 64, 1_216);
        Formats wanted = new Formats(WeightFormat.BF16, WeightFormat.INT4);
        assertThatThrownBy(() -> wanted.check(odd))
                .isInstanceOf(PenstockException.class)
                .hasMessageContaining("INT4")
                .hasMessageContaining("480")
                .hasMessageContaining("penstock.shard.gpu-weights");
        Formats.WIDE.check(odd);
        wanted.check(Shapes.of(512, 8, 2, 64, 1_408));
    }
}
