package io.penstock.shard.backend.cpu;

import io.penstock.model.checkpoint.Checkpoint;
import io.penstock.model.checkpoint.CheckpointException;
import io.penstock.model.checkpoint.FileExtents;
import io.penstock.model.checkpoint.MappedTensors;
import io.penstock.model.checkpoint.PartBytes;
import io.penstock.model.checkpoint.TensorLocation;
import io.penstock.model.config.LatentAttention;
import io.penstock.model.config.ModelConfig;
import io.penstock.model.quant.Decoder;
import io.penstock.model.quant.MatrixDecoder;
import io.penstock.model.tensor.ExpertTensor;
import io.penstock.model.tensor.LayerTensor;
import io.penstock.model.tensor.RankSlice;
import io.penstock.model.tensor.TensorNames;
import io.penstock.model.tensor.TensorPart;
import java.lang.foreign.Arena;
import java.lang.foreign.MemorySegment;
import java.lang.foreign.SegmentAllocator;
import java.nio.file.Path;
import java.util.ArrayList;
import java.util.HashMap;
import java.util.List;
import java.util.Map;
import java.util.Optional;
import java.util.function.LongConsumer;

/// Reads a rank's part of a checkpoint and packs it, all threads at work on one matrix after the other.
final class WeightLoading {
    private final Checkpoint checkpoint;
    private final RankSlice slice;
    private final MappedTensors tensors;
    private final SegmentAllocator memory;
    private final Workers workers;
    private final LongConsumer loaded;
    private final Map<String, PackedMatrix> matrices = new HashMap<>();
    private final Map<String, float[]> vectors = new HashMap<>();
    private PackedMatrix tiedOutput;
    private long bytes;

    private WeightLoading(
            Checkpoint checkpoint,
            RankSlice slice,
            MappedTensors tensors,
            SegmentAllocator memory,
            Workers workers,
            LongConsumer loaded) {
        this.checkpoint = checkpoint;
        this.slice = slice;
        this.tensors = tensors;
        this.memory = memory;
        this.workers = workers;
        this.loaded = loaded;
    }

    /// @param arena owns the packed weights
    static RankWeights load(
            Checkpoint checkpoint,
            RankSlice slice,
            Map<String, Path> files,
            Arena arena,
            Workers workers,
            LongConsumer loaded) {
        try (MappedTensors tensors = new MappedTensors(checkpoint, files)) {
            List<TensorPart> parts = TensorPart.of(checkpoint.config(), slice);
            SegmentAllocator memory = DeviceMemory.allocator(packedBytes(checkpoint, slice, parts), arena);
            WeightLoading loading = new WeightLoading(checkpoint, slice, tensors, memory, workers, loaded);
            for (TensorPart part : parts) {
                loading.read(part);
            }
            return loading.assemble(checkpoint.config());
        }
    }

    private static long packedBytes(Checkpoint checkpoint, RankSlice slice, List<TensorPart> parts) {
        long total = 0;
        for (TensorPart part : parts) {
            if (part.tensor().shape().rank() > 1) {
                Elements elements = elements(checkpoint, part);
                total += packedBytes(
                        elements, part.rows().count(), part.columns().count());
                if (isTiedOutput(checkpoint, slice, part) && !part.rows().equals(slice.vocabulary())) {
                    total += packedBytes(
                            elements, slice.vocabulary().count(), part.columns().count());
                }
            }
        }
        return total;
    }

    private static long packedBytes(Elements elements, int rows, int columns) {
        return Math.ceilDiv(PackedMatrix.bytes(elements, rows, columns), 64L) * 64;
    }

    /// F32 where the kernels do not read the weights as they are stored.
    private static Elements elements(Checkpoint checkpoint, TensorPart part) {
        return keptAsStored(checkpoint, part).orElse(Elements.F32);
    }

    private static Optional<Elements> keptAsStored(Checkpoint checkpoint, TensorPart part) {
        String name = part.tensor().name();
        return checkpoint.matrices().containsKey(name)
                ? Optional.empty()
                : Elements.of(checkpoint.tensors().get(name).dtype());
    }

    private static boolean isTiedOutput(Checkpoint checkpoint, RankSlice slice, TensorPart part) {
        return part.tensor().name().equals(TensorNames.EMBEDDING)
                && checkpoint.config().tiedEmbeddings()
                && slice.samples();
    }

    private void read(TensorPart part) {
        String name = part.tensor().name();
        if (part.tensor().shape().rank() == 1) {
            vectors.put(name, vector(part));
        } else {
            PackedMatrix matrix = matrix(part);
            matrices.put(name, matrix);
            if (isTiedOutput(checkpoint, slice, part)) {
                tiedOutput = part.rows().equals(slice.vocabulary())
                        ? matrix
                        : matrix(new TensorPart(part.tensor(), slice.vocabulary(), part.columns()));
            }
        }
        bytes += FileExtents.bytes(checkpoint, part);
        loaded.accept(bytes);
    }

    private float[] vector(TensorPart part) {
        TensorLocation location = checkpoint.tensors().get(part.tensor().name());
        int count = part.rows().count();
        float[] values = new float[count];
        long offset = PartBytes.of(location, part).offset() - location.offset();
        Decoder.of(location.dtype()).decode(tensors.whole(part.tensor().name()), offset, values, 0, count);
        for (int i = 0; i < count; i++) {
            if (!Float.isFinite(values[i])) {
                throw notFinite(location, part.rows().from() + i);
            }
        }
        return values;
    }

    private PackedMatrix matrix(TensorPart part) {
        TensorLocation location = checkpoint.tensors().get(part.tensor().name());
        Optional<Elements> kept = keptAsStored(checkpoint, part);
        PackedMatrix matrix = new PackedMatrix(
                kept.orElse(Elements.F32), part.rows().count(), part.columns().count(), memory);
        PanelPacking packing = kept.isPresent() ? stored(part, location) : decoded(part);
        int[] badRow = new int[workers.count()];
        workers.run((worker, count) -> {
            badRow[worker] = -1;
            for (int panel = worker; panel < matrix.panels() && badRow[worker] < 0; panel += count) {
                badRow[worker] = packing.pack(matrix, panel);
            }
        });
        for (int row : badRow) {
            if (row >= 0) {
                throw notFinite(location, part.rows().from() + row);
            }
        }
        return matrix;
    }

    private PanelPacking stored(TensorPart part, TensorLocation location) {
        PartBytes place = PartBytes.of(location, part);
        MemorySegment source = tensors.whole(part.tensor().name());
        long offset = place.offset() - location.offset();
        return (matrix, panel) -> MatrixPacking.pack(matrix, panel, source, offset, place.stride());
    }

    private PanelPacking decoded(TensorPart part) {
        MatrixDecoder decoder = tensors.decoder(part.tensor().name());
        int row = part.rows().from();
        int column = part.columns().from();
        return (matrix, panel) -> MatrixPacking.packDecoded(matrix, panel, decoder, row, column);
    }

    /// Fills one panel; see [MatrixPacking] for what it returns.
    @FunctionalInterface
    private interface PanelPacking {
        int pack(PackedMatrix matrix, int panel);
    }

    private static CheckpointException notFinite(TensorLocation location, int row) {
        return new CheckpointException(
                location.file(), location.name(), "row %d holds a weight or scale that is no finite number", row);
    }

    private RankWeights assemble(ModelConfig config) {
        LayerWeights[] layers = new LayerWeights[slice.layers().count()];
        for (int i = 0; i < layers.length; i++) {
            layers[i] = layer(slice.layers().from() + i);
        }
        PackedMatrix embedding = slice.embeds() ? matrices.get(TensorNames.EMBEDDING) : null;
        PackedMatrix output = null;
        if (slice.samples()) {
            output = config.tiedEmbeddings() ? tiedOutput : matrices.get(TensorNames.OUTPUT);
        }
        return new RankWeights(
                layers,
                embedding,
                vectors.get(TensorNames.OUTPUT_NORM),
                output,
                vectors.get(TensorNames.ROPE_DIVISORS));
    }

    private LayerWeights layer(int number) {
        return new LayerWeights(
                vector(number, LayerTensor.ATTENTION_NORM),
                matrix(number, LayerTensor.QUERY),
                matrix(number, LayerTensor.KEY),
                matrix(number, LayerTensor.VALUE),
                vector(number, LayerTensor.QUERY_BIAS),
                vector(number, LayerTensor.KEY_BIAS),
                vector(number, LayerTensor.VALUE_BIAS),
                vector(number, LayerTensor.QUERY_NORM),
                vector(number, LayerTensor.KEY_NORM),
                latent(number),
                matrix(number, LayerTensor.ATTENTION_OUTPUT),
                vector(number, LayerTensor.MLP_NORM),
                matrix(number, LayerTensor.GATE),
                matrix(number, LayerTensor.UP),
                matrix(number, LayerTensor.DOWN),
                checkpoint.config().hasExperts(number) ? experts(number) : null);
    }

    private LatentWeights latent(int number) {
        if (checkpoint.config().latent().isEmpty()) {
            return null;
        }
        LatentAttention latent = checkpoint.config().latent().get();
        int heads = slice.heads().count();
        float[] keyUp = new float[heads * latent.plainSize() * latent.keyRank()];
        float[] valueUp = new float[heads * latent.valueSize() * latent.keyRank()];
        if (latent.apart()) {
            transposed(matrix(number, LayerTensor.KEY_UP), latent, keyUp);
            PackedMatrix values = matrix(number, LayerTensor.VALUE_UP);
            for (int row = 0; row < heads * latent.valueSize(); row++) {
                values.row(row, valueUp, row * latent.keyRank());
            }
        } else {
            parted(matrix(number, LayerTensor.KV_UP), latent, keyUp, valueUp);
        }
        return new LatentWeights(
                matrix(number, LayerTensor.QUERY_DOWN),
                vector(number, LayerTensor.QUERY_DOWN_NORM),
                matrix(number, LayerTensor.KV_DOWN),
                vector(number, LayerTensor.KV_DOWN_NORM),
                keyUp,
                valueUp);
    }

    private static void parted(PackedMatrix up, LatentAttention latent, float[] keyUp, float[] valueUp) {
        int perHead = latent.plainSize() + latent.valueSize();
        for (int row = 0; row < up.rows(); row++) {
            int head = row / perHead;
            int i = row % perHead;
            boolean key = i < latent.plainSize();
            int to = key ? head * latent.plainSize() + i : head * latent.valueSize() + i - latent.plainSize();
            up.row(row, key ? keyUp : valueUp, to * latent.keyRank());
        }
    }

    /// @param up of each head `[keyRank, plainSize]`
    /// @param keyUp of each head `[plainSize, keyRank]`
    private static void transposed(PackedMatrix up, LatentAttention latent, float[] keyUp) {
        int rank = latent.keyRank();
        int plain = latent.plainSize();
        float[] row = new float[plain];
        for (int number = 0; number < up.rows(); number++) {
            up.row(number, row, 0);
            for (int i = 0; i < plain; i++) {
                keyUp[(number / rank * plain + i) * rank + number % rank] = row[i];
            }
        }
    }

    private ExpertWeights experts(int number) {
        List<ExpertWeights.Mlp> experts = new ArrayList<>();
        for (int expert = slice.experts().from(); expert < slice.experts().to(); expert++) {
            experts.add(new ExpertWeights.Mlp(
                    matrices.get(TensorNames.expert(number, expert, ExpertTensor.GATE)),
                    matrices.get(TensorNames.expert(number, expert, ExpertTensor.UP)),
                    matrices.get(TensorNames.expert(number, expert, ExpertTensor.DOWN))));
        }
        PackedMatrix sharedGate = matrix(number, LayerTensor.SHARED_GATE);
        return new ExpertWeights(
                matrix(number, LayerTensor.ROUTER),
                vector(number, LayerTensor.ROUTER_BIAS),
                List.copyOf(experts),
                sharedGate == null
                        ? null
                        : new ExpertWeights.Mlp(
                                sharedGate,
                                matrix(number, LayerTensor.SHARED_UP),
                                matrix(number, LayerTensor.SHARED_DOWN)));
    }

    private float[] vector(int layer, LayerTensor tensor) {
        return vectors.get(TensorNames.layer(layer, tensor));
    }

    private PackedMatrix matrix(int layer, LayerTensor tensor) {
        return matrices.get(TensorNames.layer(layer, tensor));
    }
}
