package io.penstock.shard.backend.cuda;

import io.penstock.model.ErrorCategory;
import io.penstock.model.PenstockException;
import io.penstock.model.checkpoint.Checkpoint;
import io.penstock.model.checkpoint.MappedTensors;
import io.penstock.model.checkpoint.TensorLocation;
import io.penstock.model.quant.MatrixDecoder;
import io.penstock.model.tensor.DType;
import io.penstock.model.tensor.LayerTensor;
import io.penstock.model.tensor.RankSlice.Range;
import io.penstock.model.tensor.TensorNames;
import io.penstock.shard.backend.cuda.CudaDevice.HostMemory;
import io.penstock.shard.backend.cuda.Launcher.Grid;
import io.penstock.shard.backend.cuda.StoredPacking.Rows;
import java.lang.foreign.MemorySegment;
import java.lang.foreign.ValueLayout;
import java.nio.ByteBuffer;
import java.nio.file.Path;
import java.util.Arrays;
import java.util.List;
import java.util.Map;
import java.util.function.LongConsumer;
import java.util.stream.IntStream;
import jcuda.driver.CUevent;

/// Brings a rank's part of a checkpoint to the device: pieces of whole rows are read into one page-
/// locked buffer while the other is on its way, and kernels turn the stored format into bf16, pick
/// columns and order rows. Matrices whose elements alone do not say what their weights are are
/// packed on the host where the device keeps their format, and decoded there where it does not.
final class WeightUpload implements AutoCloseable {
    private static final int PIECE = 32 << 20;

    private final CudaDevice device;
    private final Kernel convert;
    private final Kernel convertVector;
    private final Checkpoint checkpoint;
    private final Map<String, Path> files;
    private final LongConsumer loaded;
    private final StoredContents contents;
    // Null where no matrix needs more than its own elements.
    private final MappedTensors tensors;
    private final PieceReader reader = new PieceReader();
    private final HostMemory[] pieces = new HostMemory[2];
    private final CUevent[] free = new CUevent[2];
    private final CudaDevice.DeviceMemory[] staged = new CudaDevice.DeviceMemory[2];
    private int next;
    private long total;

    WeightUpload(
            CudaDevice device,
            CudaModules modules,
            StoredContents contents,
            Map<String, Path> files,
            LongConsumer loaded) {
        this.device = device;
        this.contents = contents;
        checkpoint = contents.checkpoint();
        tensors = contents.tensors();
        this.files = files;
        this.loaded = loaded;
        convert = modules.kernel("elementwise", "convert");
        convertVector = modules.kernel("elementwise", "convertVector");
        for (int i = 0; i < 2; i++) {
            pieces[i] = device.allocateHost(PIECE);
            staged[i] = device.allocate(PIECE);
            free[i] = device.event();
        }
    }

    /// Whether kernels read all of a checkpoint as it is.
    static boolean isPlain(Checkpoint checkpoint) {
        return checkpoint.tensors().values().stream().allMatch(tensor -> converts(tensor.dtype()));
    }

    void upload(ShardShape shape, DeviceWeights weights, Quantizer quantizer) {
        int head = shape.headSize();
        Range all = new Range(0, shape.hidden());
        Range queries = shape.queries();
        Range keys = scaled(shape.slice().kvHeads(), head);
        Range intermediate = shape.slice().intermediate();
        if (shape.slice().embeds()) {
            Range vocabulary = new Range(0, shape.config().vocabularySize());
            rows(new Part(TensorNames.EMBEDDING, vocabulary, all, 0, Rows.RUN), weights.embedding());
        }
        for (int i = 0; i < shape.layers(); i++) {
            int number = shape.slice().layers().from() + i;
            DeviceWeights.Layer layer = weights.layers().get(i);
            vector(TensorNames.layer(number, LayerTensor.ATTENTION_NORM), all, layer.attentionNorm());
            matrix(
                    layer.qkv(),
                    quantizer,
                    new Part(TensorNames.layer(number, LayerTensor.QUERY), queries, all, 0, Rows.RUN),
                    new Part(TensorNames.layer(number, LayerTensor.KEY), keys, all, queries.count(), Rows.RUN),
                    new Part(
                            TensorNames.layer(number, LayerTensor.VALUE),
                            keys,
                            all,
                            queries.count() + keys.count(),
                            Rows.RUN));
            if (shape.config().attentionBias()) {
                long at = layer.qkvBias();
                vector(TensorNames.layer(number, LayerTensor.QUERY_BIAS), queries, at);
                vector(TensorNames.layer(number, LayerTensor.KEY_BIAS), keys, at + 4L * queries.count());
                vector(
                        TensorNames.layer(number, LayerTensor.VALUE_BIAS),
                        keys,
                        at + 4L * (queries.count() + keys.count()));
            }
            if (shape.config().headNorms()) {
                Range one = new Range(0, head);
                vector(TensorNames.layer(number, LayerTensor.QUERY_NORM), one, layer.headNorms());
                vector(TensorNames.layer(number, LayerTensor.KEY_NORM), one, layer.headNorms() + 4L * head);
            }
            matrix(
                    layer.output(),
                    quantizer,
                    new Part(TensorNames.layer(number, LayerTensor.ATTENTION_OUTPUT), all, queries, 0, Rows.RUN));
            vector(TensorNames.layer(number, LayerTensor.MLP_NORM), all, layer.mlpNorm());
            matrix(
                    layer.gateUp(),
                    quantizer,
                    new Part(TensorNames.layer(number, LayerTensor.GATE), intermediate, all, 0, Rows.FIRST_EIGHT),
                    new Part(TensorNames.layer(number, LayerTensor.UP), intermediate, all, 0, Rows.SECOND_EIGHT));
            matrix(
                    layer.down(),
                    quantizer,
                    new Part(TensorNames.layer(number, LayerTensor.DOWN), all, intermediate, 0, Rows.RUN));
        }
        if (shape.slice().samples()) {
            vector(TensorNames.OUTPUT_NORM, all, weights.outputNorm());
            long embedded =
                    weights.embedding() + 2L * shape.slice().vocabulary().from() * shape.hidden();
            if (weights.embedding() == 0 || weights.output().address() != embedded) {
                String name = shape.config().tiedEmbeddings() ? TensorNames.EMBEDDING : TensorNames.OUTPUT;
                matrix(weights.output(), quantizer, new Part(name, shape.slice().vocabulary(), all, 0, Rows.RUN));
            }
        }
        device.synchronize();
    }

    private static Range scaled(Range range, int by) {
        return new Range(range.from() * by, range.to() * by);
    }

    /// A part of a tensor, and where its rows go.
    ///
    /// @param to row of the device's matrix, the first
    private record Part(String name, Range rows, Range columns, int to, Rows order) {}

    private void matrix(Matrix target, Quantizer quantizer, Part... parts) {
        boolean kept = target.format() != WeightFormat.BF16
                && Arrays.stream(parts)
                        .allMatch(part -> StoredFormats.takes(target.format(), StoredFormats.of(contents, part.name))
                                // A rank's columns may begin within a group, where its first 128 have two scales.
                                && part.columns.from() % WeightFormat.GRANULE == 0);
        if (kept) {
            packed(target, parts);
            return;
        }
        long landing = quantizer.landing(target);
        for (Part part : parts) {
            rows(part, landing);
        }
        quantizer.landed(target);
    }

    /// The stored integers and scales, in the device's order.
    private void packed(Matrix target, Part... parts) {
        List<StoredPacking.Source> sources = Arrays.stream(parts)
                .map(part -> new StoredPacking.Source(
                        part.name,
                        tensors.decoder(part.name),
                        part.rows.from(),
                        part.columns.from(),
                        part.rows.count(),
                        part.to,
                        part.order))
                .toList();
        StoredPacking packing = new StoredPacking(target.format(), target.rows(), target.columns(), sources);
        int tilesAPiece = PIECE / packing.tileBytes();
        for (int tile = 0; tile < packing.tiles(); tile += tilesAPiece) {
            int first = tile;
            int count = Math.min(tilesAPiece, packing.tiles() - tile);
            device.await(free[next]);
            MemorySegment piece = pieces[next].segment();
            int last = IntStream.range(0, count)
                    .parallel()
                    .map(i -> i * packing.tileBytes() + packing.pack(first + i, piece, (long) i * packing.tileBytes()))
                    .max()
                    .orElseThrow();
            device.upload(target.address() + (long) tile * packing.tileBytes(), pieces[next], last);
            total += last;
            passed();
        }
        float[] scales = packing.scales();
        int most = PIECE / Float.BYTES;
        for (int from = 0; from < scales.length; from += most) {
            int count = Math.min(most, scales.length - from);
            device.await(free[next]);
            MemorySegment.copy(scales, from, pieces[next].segment(), ValueLayout.JAVA_FLOAT, 0, count);
            device.upload(target.scales() + 4L * from, pieces[next], 4L * count);
            total += 4L * count;
            passed();
        }
    }

    /// Rows as bf16.
    private void rows(Part part, long to) {
        if (checkpoint.matrices().containsKey(part.name)
                || !converts(tensor(part.name).dtype())) {
            decoded(part, to);
        } else {
            plain(part, to);
        }
    }

    private void decoded(Part part, long to) {
        MatrixDecoder decoder = tensors.decoder(part.name);
        int columns = part.columns.count();
        // Whole blocks are decoded, of which a rank may have a part.
        int block = checkpoint.matrices().containsKey(part.name)
                ? 1
                : tensor(part.name).dtype().blockElements();
        int from = part.columns.from() / block * block;
        int decoded = Math.ceilDiv(part.columns.to(), block) * block - from;
        int skipped = part.columns.from() - from;
        int rowsAPiece = PIECE / (2 * columns);
        for (int row = part.rows.from(); row < part.rows.to(); row += rowsAPiece) {
            int first = row;
            int count = Math.min(rowsAPiece, part.rows.to() - row);
            device.await(free[next]);
            MemorySegment piece = pieces[next].segment();
            IntStream.range(0, count).parallel().forEach(i -> {
                float[] values = new float[decoded];
                decoder.decode(first + i, from, decoded, values, 0);
                for (int c = 0; c < columns; c++) {
                    float value = values[skipped + c];
                    if (!Float.isFinite(value)) {
                        throw new PenstockException(
                                ErrorCategory.CORRUPT,
                                "%s: row %d holds a weight or scale that is no finite number",
                                part.name,
                                first + i);
                    }
                    piece.setAtIndex(ValueLayout.JAVA_SHORT, (long) i * columns + c, bf16(value));
                }
            });
            int bytes = 2 * count * columns;
            device.upload(staged[next].address(), pieces[next], bytes);
            total += bytes;
            convert(DType.BF16, 2L * columns, count, new Range(0, columns), part, row, to);
        }
    }

    /// The nearest, of two the even one.
    ///
    /// @param value finite
    static short bf16(float value) {
        int bits = Float.floatToRawIntBits(value);
        return (short) ((bits + 0x7fff + ((bits >>> 16) & 1)) >>> 16);
    }

    private void convert(DType type, long rowBytes, int count, Range columns, Part part, int row, long to) {
        device.launch(
                convert,
                Grid.of(4 * device.multiprocessors(), 256),
                staged[next].address(),
                code(type),
                rowBytes,
                count,
                columns.from(),
                columns.count(),
                to,
                (long) (part.to + row - part.rows.from()),
                switch (part.order) {
                    case RUN -> 0;
                    case FIRST_EIGHT -> 1;
                    case SECOND_EIGHT -> 2;
                });
        passed();
    }

    private void plain(Part part, long to) {
        TensorLocation tensor = tensor(part.name);
        long rowBytes = tensor.length() / tensor.shape().extent(0);
        int rowsAPiece = (int) Math.min(Integer.MAX_VALUE, PIECE / rowBytes);
        if (rowsAPiece == 0) {
            throw new PenstockException(
                    ErrorCategory.CORRUPT, "%s: a row of %d bytes, at most %d are served", part.name, rowBytes, PIECE);
        }
        for (int row = part.rows.from(); row < part.rows.to(); row += rowsAPiece) {
            int count = Math.min(rowsAPiece, part.rows.to() - row);
            bring(tensor, row * rowBytes, (int) (count * rowBytes));
            convert(tensor.dtype(), rowBytes, count, part.columns, part, row, to);
        }
    }

    private void vector(String name, Range range, long to) {
        TensorLocation tensor = tensor(name);
        if (tensor.dtype().blockElements() != 1) {
            throw new PenstockException(ErrorCategory.CORRUPT, "%s: a vector of %s", name, tensor.dtype());
        }
        int bytes = tensor.dtype().blockBytes();
        long staging = bring(tensor, (long) range.from() * bytes, range.count() * bytes);
        device.launch(convertVector, Grid.of(8, 256), staging, code(tensor.dtype()), range.count(), to);
        passed();
    }

    /// Small tensors that the host wants to see.
    float[] read(String name) {
        TensorLocation tensor = tensor(name);
        if (tensor.dtype() != DType.F32 || tensor.length() > PIECE) {
            throw new PenstockException(ErrorCategory.CORRUPT, "%s: %s of %s", name, tensor.shape(), tensor.dtype());
        }
        ByteBuffer bytes = ByteBuffer.allocate((int) tensor.length()).order(java.nio.ByteOrder.LITTLE_ENDIAN);
        read(tensor, 0, bytes);
        float[] values = new float[bytes.capacity() / 4];
        bytes.rewind().asFloatBuffer().get(values);
        return values;
    }

    private TensorLocation tensor(String name) {
        TensorLocation tensor = checkpoint.tensors().get(name);
        if (tensor == null) {
            throw new PenstockException(ErrorCategory.CORRUPT, "the checkpoint has no tensor %s", name);
        }
        return tensor;
    }

    /// Whether kernels read a stored format; the host decodes the others.
    static boolean converts(DType type) {
        return switch (type) {
            case F32, F16, BF16, Q8_0, Q4_0, Q4_1 -> true;
            case Q5_0, Q5_1, Q2_K, Q3_K, Q4_K, Q5_K, Q6_K, F8_E4M3, F8_E5M2, I8, U8, I32, I64 -> false;
        };
    }

    /// The kernel's code of a stored format.
    static int code(DType type) {
        return switch (type) {
            case F32 -> 0;
            case F16 -> 1;
            case BF16 -> 2;
            case Q8_0 -> 3;
            case Q4_0 -> 4;
            case Q4_1 -> 5;
            case Q5_0, Q5_1, Q2_K, Q3_K, Q4_K, Q5_K, Q6_K, F8_E4M3, F8_E5M2, I8, U8, I32, I64 ->
                throw new PenstockException(
                        ErrorCategory.BAD_INPUT, "weights stored as %s are not served on this device", type);
        };
    }

    /// @return device address of the bytes, once the stream comes to what is launched next
    private long bring(TensorLocation tensor, long from, int bytes) {
        device.await(free[next]);
        ByteBuffer piece = pieces[next].segment().asByteBuffer().limit(bytes);
        read(tensor, from, piece);
        device.upload(staged[next].address(), pieces[next], bytes);
        total += bytes;
        return staged[next].address();
    }

    /// Read so far.
    long bytes() {
        return total;
    }

    private void passed() {
        device.record(free[next]);
        next = 1 - next;
        loaded.accept(total);
    }

    private void read(TensorLocation tensor, long from, ByteBuffer to) {
        Path file = files.get(tensor.file().toString());
        if (file == null) {
            throw new PenstockException(ErrorCategory.NOT_FOUND, "%s is not on this node", tensor.file());
        }
        reader.read(file, tensor.offset() + from, to);
    }

    @Override
    public void close() {
        for (int i = 0; i < 2; i++) {
            device.free(pieces[i]);
            device.free(staged[i]);
            device.destroy(free[i]);
        }
        reader.close();
    }
}
