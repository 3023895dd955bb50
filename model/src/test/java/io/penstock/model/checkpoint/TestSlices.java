package io.penstock.model.checkpoint;

import static org.assertj.core.api.Assertions.assertThat;
import static org.assertj.core.api.Assertions.assertThatThrownBy;

import io.penstock.model.PenstockException;
import io.penstock.model.config.ModelConfig;
import io.penstock.model.config.ModelConfig.Architecture;
import io.penstock.model.config.ModelConfig.RopeLayout;
import io.penstock.model.config.RopeScaling;
import io.penstock.model.tensor.DType;
import io.penstock.model.tensor.RankSlice;
import io.penstock.model.tensor.RankSlice.Range;
import io.penstock.model.tensor.TensorLayout;
import io.penstock.model.tensor.TensorLayout.Split;
import io.penstock.model.tensor.TensorNames;
import io.penstock.model.tensor.TensorPart;
import java.io.IOException;
import java.lang.foreign.MemorySegment;
import java.lang.foreign.ValueLayout;
import java.nio.file.Path;
import java.util.Arrays;
import java.util.HashMap;
import java.util.List;
import java.util.Map;
import java.util.stream.Stream;
import org.junit.jupiter.api.Test;
import org.junit.jupiter.api.io.TempDir;
import org.junit.jupiter.params.ParameterizedTest;
import org.junit.jupiter.params.provider.Arguments;
import org.junit.jupiter.params.provider.MethodSource;

/// A rank that lacked a row would compute nonsense without noticing.
class TestSlices {
    @TempDir
    private Path folder;

    static Stream<Arguments> models() {
        return Stream.of(
                Arguments.of(fourGroups(Architecture.LLAMA, true), DType.Q4_1),
                Arguments.of(fourGroups(Architecture.LLAMA, false), DType.BF16),
                Arguments.of(fourGroups(Architecture.QWEN2, true), DType.Q4_0),
                Arguments.of(fourGroups(Architecture.QWEN2, false), DType.Q8_0));
    }

    /// As the tiny model, with a group for each of four ranks; 4 groups over 3 ranks and 5 MLP blocks stay uneven.
    private static ModelConfig fourGroups(Architecture architecture, boolean tied) {
        ModelConfig tiny = TinyCheckpoints.config(architecture, tied);
        return new ModelConfig(
                architecture,
                tiny.layers(),
                tiny.hiddenSize(),
                tiny.intermediateSize(),
                8,
                4,
                tiny.headSize(),
                tiny.vocabularySize(),
                tiny.contextLength(),
                tiny.rmsNormEpsilon(),
                tiny.ropeTheta(),
                RopeLayout.HALVES,
                new RopeScaling.None(),
                tiny.attentionBias(),
                tied);
    }

    @ParameterizedTest
    @MethodSource("models")
    void ranksHoldEveryByteOnceAndTogetherTheWhole(ModelConfig written, DType dtype) throws IOException {
        Path file = folder.resolve("tiny.gguf");
        TinyCheckpoints.writeGguf(file, written, dtype, 7);
        Checkpoint checkpoint = Checkpoints.open(file);
        ModelConfig config = checkpoint.config();

        try (MappedTensors tensors = new MappedTensors(checkpoint, Map.of("tiny.gguf", file))) {
            for (int tp = 1; tp <= 4; tp++) {
                for (int pp = 1; pp <= 4; pp++) {
                    Map<String, Gathered> gathered = new HashMap<>();
                    for (TensorLayout tensor : TensorLayout.of(config)) {
                        gathered.put(
                                tensor.name(), new Gathered(checkpoint.tensors().get(tensor.name()), tensor));
                    }
                    for (int rank = 0; rank < tp; rank++) {
                        for (int stage = 0; stage < pp; stage++) {
                            RankSlice slice = RankSlice.of(config, rank, tp, stage, pp);
                            List<TensorPart> parts = TensorPart.of(config, slice);
                            assertThat(parts.stream().map(part -> part.tensor().name()))
                                    .doesNotHaveDuplicates();
                            for (TensorPart part : parts) {
                                gathered.get(part.tensor().name()).add(tensors, part);
                            }
                            checkExtents(checkpoint, slice, parts);
                        }
                    }
                    for (Gathered whole : gathered.values()) {
                        whole.check(tensors, tp, pp, config.tiedEmbeddings());
                    }
                }
            }
        }
    }

    /// Exactly the parts' bytes without a gap; with one, all of them and perhaps more.
    private static void checkExtents(Checkpoint checkpoint, RankSlice slice, List<TensorPart> parts) {
        long needed = 0;
        for (TensorPart part : parts) {
            needed += PartBytes.of(checkpoint.tensors().get(part.tensor().name()), part)
                    .length();
        }
        FileExtents exact = FileExtents.of(checkpoint, slice, 0).getFirst();
        assertThat(exact.length()).isEqualTo(needed);
        FileExtents coalesced = FileExtents.of(checkpoint, slice, 1_000).getFirst();
        assertThat(coalesced.extents().size())
                .isLessThanOrEqualTo(exact.extents().size());
        int at = 0;
        for (Extent extent : exact.extents()) {
            while (coalesced.extents().get(at).end() < extent.end()) {
                at++;
            }
            assertThat(coalesced.extents().get(at).offset()).isLessThanOrEqualTo(extent.offset());
        }
        for (int i = 1; i < coalesced.extents().size(); i++) {
            assertThat(coalesced.extents().get(i).offset()
                            - coalesced.extents().get(i - 1).end())
                    .isGreaterThan(1_000);
        }
    }

    /// A tensor put together again from its parts.
    private static final class Gathered {
        private final TensorLocation location;
        private final TensorLayout layout;
        private final byte[] bytes;
        private final int[] copies;

        Gathered(TensorLocation location, TensorLayout layout) {
            this.location = location;
            this.layout = layout;
            this.bytes = new byte[Math.toIntExact(location.length())];
            this.copies = new int[bytes.length];
        }

        void add(MappedTensors tensors, TensorPart part) {
            DType dtype = location.dtype();
            int rows = part.rows().count();
            int rowBytes = Math.toIntExact(dtype.bytesFor(part.columns().count()));
            int stride = bytes.length / Math.toIntExact(layout.shape().extent(0));
            MemorySegment copy = MemorySegment.ofArray(new byte[rows * rowBytes]);
            tensors.copy(part, copy);
            for (int row = 0; row < rows; row++) {
                int at = (part.rows().from() + row) * stride
                        + Math.toIntExact(dtype.bytesFor(part.columns().from()));
                MemorySegment.copy(copy, ValueLayout.JAVA_BYTE, (long) row * rowBytes, bytes, at, rowBytes);
                for (int i = at; i < at + rowBytes; i++) {
                    copies[i]++;
                }
            }
        }

        void check(MappedTensors tensors, int tp, int pp, boolean tied) {
            assertThat(tensors.whole(layout.name()).mismatch(MemorySegment.ofArray(bytes)))
                    .as("%s gathered over %d x %d", layout.name(), tp, pp)
                    .isEqualTo(-1);
            int expected = layout.split() == Split.WHOLE ? tp : 1;
            if (tied && pp > 1 && layout.name().equals(TensorNames.EMBEDDING)) {
                // Whole on the first stage, and parted on the last.
                expected = tp + 1;
            }
            int[] even = new int[copies.length];
            Arrays.fill(even, expected);
            assertThat(copies)
                    .as("copies of %s over %d x %d", layout.name(), tp, pp)
                    .isEqualTo(even);
        }
    }

    @Test
    void refusesToCutABlock() throws IOException {
        ModelConfig tiny = TinyCheckpoints.config(Architecture.LLAMA, true);
        ModelConfig config = new ModelConfig(
                Architecture.LLAMA,
                1,
                96,
                160,
                6,
                6,
                16,
                131,
                512,
                1e-5,
                10_000,
                RopeLayout.HALVES,
                tiny.ropeScaling(),
                false,
                true);
        Path file = folder.resolve("narrow.gguf");
        TinyCheckpoints.writeGguf(file, config, DType.Q8_0, 7);
        Checkpoint checkpoint = Checkpoints.open(file);

        assertThat(FileExtents.of(checkpoint, RankSlice.of(config, 0, 3, 0, 1), 0))
                .hasSize(1);
        assertThatThrownBy(() -> FileExtents.of(checkpoint, RankSlice.of(config, 0, 2, 0, 1), 0))
                .isInstanceOf(PenstockException.class)
                .hasMessageContaining("narrow.gguf: blk.0.attn_output.weight")
                .hasMessageContaining("cut a Q8_0 block of 32");
    }

    @Test
    void realModelOverTwoRanksNeedsAboutHalfEach() {
        Checkpoint checkpoint = Checkpoints.open(RealModel.gguf());
        long whole = checkpoint.tensors().values().stream()
                .mapToLong(TensorLocation::length)
                .sum();
        long embedding = checkpoint.tensors().get(TensorNames.EMBEDDING).length();
        RankSlice one = RankSlice.of(checkpoint.config(), 1, 2, 1, 2);
        FileExtents extents = FileExtents.of(checkpoint, one, 0).getFirst();

        assertThat(one.heads()).isEqualTo(new Range(6, 9));
        // A quarter of the layers and half of the tied matrix, give or take the smaller share of heads and the norms.
        long expected = (whole - embedding) / 4 + embedding / 2;
        assertThat(extents.length()).isBetween(expected * 9 / 10, expected * 11 / 10);
        assertThat(FileExtents.of(checkpoint, one, FileExtents.DEFAULT_GAP)
                        .getFirst()
                        .extents())
                .hasSizeLessThan(extents.extents().size() / 100);
    }
}
