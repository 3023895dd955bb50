package io.penstock.shard.backend.cuda;

import io.penstock.model.ErrorCategory;
import io.penstock.model.PenstockException;
import io.penstock.model.checkpoint.Checkpoint;
import io.penstock.model.checkpoint.TensorLocation;
import io.penstock.model.tensor.DType;
import io.penstock.model.tensor.LayerTensor;
import io.penstock.model.tensor.RankSlice.Range;
import io.penstock.model.tensor.TensorNames;
import io.penstock.shard.backend.cuda.CudaDevice.HostMemory;
import io.penstock.shard.backend.cuda.Launcher.Grid;
import java.nio.ByteBuffer;
import java.nio.file.Path;
import java.util.Map;
import java.util.function.LongConsumer;
import jcuda.driver.CUevent;

/// Brings a rank's part of a checkpoint to the device: pieces of whole rows are read into one page-
/// locked buffer while the other is on its way, and kernels turn the stored format into bf16, pick
/// columns and order rows.
final class WeightUpload implements AutoCloseable {
    private static final int PIECE = 32 << 20;

    private final CudaDevice device;
    private final Kernel convert;
    private final Kernel convertVector;
    private final Checkpoint checkpoint;
    private final Map<String, Path> files;
    private final LongConsumer loaded;
    private final PieceReader reader = new PieceReader();
    private final HostMemory[] pieces = new HostMemory[2];
    private final CUevent[] free = new CUevent[2];
    private final CudaDevice.DeviceMemory[] staged = new CudaDevice.DeviceMemory[2];
    private int next;
    private long total;

    WeightUpload(
            CudaDevice device,
            CudaModules modules,
            Checkpoint checkpoint,
            Map<String, Path> files,
            LongConsumer loaded) {
        this.device = device;
        this.checkpoint = checkpoint;
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

    void upload(ShardShape shape, DeviceWeights weights, Quantizer quantizer) {
        int head = shape.headSize();
        Range all = new Range(0, shape.hidden());
        Range queries = scaled(shape.slice().heads(), head);
        Range keys = scaled(shape.slice().kvHeads(), head);
        Range intermediate = shape.slice().intermediate();
        if (shape.slice().embeds()) {
            matrix(
                    TensorNames.EMBEDDING,
                    new Range(0, shape.config().vocabularySize()),
                    all,
                    weights.embedding(),
                    0,
                    0);
        }
        for (int i = 0; i < shape.layers(); i++) {
            int number = shape.slice().layers().from() + i;
            DeviceWeights.Layer layer = weights.layers().get(i);
            vector(TensorNames.layer(number, LayerTensor.ATTENTION_NORM), all, layer.attentionNorm());
            long qkv = quantizer.landing(layer.qkv());
            matrix(TensorNames.layer(number, LayerTensor.QUERY), queries, all, qkv, 0, 0);
            matrix(TensorNames.layer(number, LayerTensor.KEY), keys, all, qkv, queries.count(), 0);
            matrix(TensorNames.layer(number, LayerTensor.VALUE), keys, all, qkv, queries.count() + keys.count(), 0);
            quantizer.landed(layer.qkv());
            if (shape.config().attentionBias()) {
                long at = layer.qkvBias();
                vector(TensorNames.layer(number, LayerTensor.QUERY_BIAS), queries, at);
                vector(TensorNames.layer(number, LayerTensor.KEY_BIAS), keys, at + 4L * queries.count());
                vector(
                        TensorNames.layer(number, LayerTensor.VALUE_BIAS),
                        keys,
                        at + 4L * (queries.count() + keys.count()));
            }
            long output = quantizer.landing(layer.output());
            matrix(TensorNames.layer(number, LayerTensor.ATTENTION_OUTPUT), all, queries, output, 0, 0);
            quantizer.landed(layer.output());
            vector(TensorNames.layer(number, LayerTensor.MLP_NORM), all, layer.mlpNorm());
            long gateUp = quantizer.landing(layer.gateUp());
            matrix(TensorNames.layer(number, LayerTensor.GATE), intermediate, all, gateUp, 0, 1);
            matrix(TensorNames.layer(number, LayerTensor.UP), intermediate, all, gateUp, 0, 2);
            quantizer.landed(layer.gateUp());
            long down = quantizer.landing(layer.down());
            matrix(TensorNames.layer(number, LayerTensor.DOWN), all, intermediate, down, 0, 0);
            quantizer.landed(layer.down());
        }
        if (shape.slice().samples()) {
            vector(TensorNames.OUTPUT_NORM, all, weights.outputNorm());
            long embedded =
                    weights.embedding() + 2L * shape.slice().vocabulary().from() * shape.hidden();
            if (weights.embedding() == 0 || weights.output().address() != embedded) {
                String name = shape.config().tiedEmbeddings() ? TensorNames.EMBEDDING : TensorNames.OUTPUT;
                matrix(name, shape.slice().vocabulary(), all, quantizer.landing(weights.output()), 0, 0);
                quantizer.landed(weights.output());
            }
        }
        device.synchronize();
    }

    private static Range scaled(Range range, int by) {
        return new Range(range.from() * by, range.to() * by);
    }

    /// @param rowMap as the kernel's
    private void matrix(String name, Range rows, Range columns, long to, int rowFrom, int rowMap) {
        TensorLocation tensor = tensor(name);
        long rowBytes = tensor.length() / tensor.shape().extent(0);
        int rowsAPiece = (int) Math.min(Integer.MAX_VALUE, PIECE / rowBytes);
        if (rowsAPiece == 0) {
            throw new PenstockException(
                    ErrorCategory.CORRUPT, "%s: a row of %d bytes, at most %d are served", name, rowBytes, PIECE);
        }
        for (int row = rows.from(); row < rows.to(); row += rowsAPiece) {
            int count = Math.min(rowsAPiece, rows.to() - row);
            long staging = bring(tensor, row * rowBytes, (int) (count * rowBytes));
            device.launch(
                    convert,
                    Grid.of(4 * device.multiprocessors(), 256),
                    staging,
                    code(tensor.dtype()),
                    rowBytes,
                    count,
                    columns.from(),
                    columns.count(),
                    to,
                    (long) (rowFrom + row - rows.from()),
                    rowMap);
            passed();
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
