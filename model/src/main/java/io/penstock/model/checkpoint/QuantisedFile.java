package io.penstock.model.checkpoint;

import com.fasterxml.jackson.databind.ObjectMapper;
import com.fasterxml.jackson.databind.node.ObjectNode;
import io.penstock.model.quant.Companion;
import io.penstock.model.quant.MatrixDecoder;
import io.penstock.model.quant.MatrixEncoder;
import io.penstock.model.quant.StoredMatrix;
import io.penstock.model.quant.WeightFormat;
import io.penstock.model.quant.WeightFormat.Scaled;
import io.penstock.model.tensor.DType;
import io.penstock.model.tensor.Shape;
import java.io.IOException;
import java.lang.foreign.MemorySegment;
import java.nio.ByteBuffer;
import java.nio.ByteOrder;
import java.nio.channels.FileChannel;
import java.util.Arrays;
import java.util.List;

/// Writes one safetensors file of a [QuantisedCopy]: the head is known before any tensor is, and each tensor passes
/// through a buffer of a few rows.
final class QuantisedFile {
    private static final long COPIED_AT_ONCE = 16 << 20;
    private static final ObjectMapper JSON = new ObjectMapper();

    private final FileChannel out;
    private final List<Tensor> tensors;
    private final MappedTensors source;

    QuantisedFile(FileChannel out, List<Tensor> tensors, MappedTensors source) {
        this.out = out;
        this.tensors = tensors;
        this.source = source;
    }

    /// One tensor of the file.
    record Written(String name, DType dtype, Shape shape) {
        long bytes() {
            return dtype.bytesFor(shape);
        }
    }

    /// One tensor of the original.
    sealed interface Tensor {
        /// What becomes of it, in the order of the file.
        List<Written> written();
    }

    /// @param name canonical
    record Plain(String name, TensorLocation location) implements Tensor {
        @Override
        public List<Written> written() {
            return List.of(new Written(location.name(), location.dtype(), location.shape()));
        }
    }

    /// @param name canonical
    record Encoded(String name, TensorLocation location, WeightFormat format) implements Tensor {
        int rows() {
            return Math.toIntExact(location.shape().extent(0));
        }

        int columns() {
            return Math.toIntExact(location.shape().extent(1));
        }

        DType scaleType() {
            return format instanceof Scaled ? DType.F32 : location.dtype();
        }

        @Override
        public List<Written> written() {
            StoredMatrix matrix = new StoredMatrix(format, rows(), columns());
            String weight = location.name();
            boolean scaled = format instanceof Scaled;
            Shape scales = matrix.companions().get(Companion.SCALES).shapes().getFirst();
            Shape payload = matrix.payload().shapes().getFirst();
            if (scaled) {
                return List.of(
                        new Written(weight, DType.F8_E4M3, payload),
                        new Written(weight + "_scale_inv", DType.F32, scales));
            }
            return List.of(
                    new Written(weight + "_packed", DType.I32, payload),
                    new Written(weight + "_scale", scaleType(), scales),
                    new Written(weight + "_shape", DType.I64, Shape.of(2)));
        }
    }

    void write() throws IOException {
        writeHead();
        for (Tensor tensor : tensors) {
            switch (tensor) {
                case Plain plain -> {
                    MemorySegment bytes = source.whole(plain.name());
                    for (long from = 0; from < bytes.byteSize(); from += COPIED_AT_ONCE) {
                        long count = Math.min(COPIED_AT_ONCE, bytes.byteSize() - from);
                        write(out, bytes.asSlice(from, count).asByteBuffer());
                    }
                }
                case Encoded encoded -> encode(encoded);
            }
        }
    }

    private void writeHead() throws IOException {
        ObjectNode head = JSON.createObjectNode();
        head.putObject("__metadata__").put("format", "pt");
        long offset = 0;
        for (Tensor tensor : tensors) {
            for (Written written : tensor.written()) {
                ObjectNode entry = head.putObject(written.name());
                entry.put("dtype", written.dtype().name());
                written.shape().extents().forEach(entry.putArray("shape")::add);
                entry.putArray("data_offsets").add(offset).add(offset + written.bytes());
                offset += written.bytes();
            }
        }
        byte[] text = JSON.writeValueAsBytes(head);
        // Spaces, so that weights begin at a multiple of eight, as the format recommends.
        byte[] padded = Arrays.copyOf(text, Math.ceilDiv(text.length, Long.BYTES) * Long.BYTES);
        Arrays.fill(padded, text.length, padded.length, (byte) ' ');
        write(out, buffer(Long.BYTES).putLong(padded.length).flip());
        write(out, padded);
    }

    private void encode(Encoded tensor) throws IOException {
        MatrixDecoder decoder = source.decoder(tensor.name());
        MatrixEncoder encoder = new MatrixEncoder(tensor.format(), tensor.columns(), tensor.scaleType());
        List<Written> written = tensor.written();
        int columns = tensor.columns();
        int together = Math.min(encoder.rowsTogether(), tensor.rows());
        float[] weights = new float[Math.multiplyExact(together, columns)];
        ByteBuffer payload = buffer(written.getFirst().bytes() / tensor.rows() * together);
        ByteBuffer scales = buffer(written.get(1).bytes());
        for (int row = 0; row < tensor.rows(); row += together) {
            int rows = Math.min(together, tensor.rows() - row);
            for (int i = 0; i < rows; i++) {
                decoder.decode(row + i, 0, columns, weights, i * columns);
            }
            payload.clear();
            try {
                encoder.encode(weights, rows, payload, scales);
            } catch (IllegalArgumentException e) {
                throw new CheckpointException(
                        tensor.location().file(), tensor.location().name(), e, "from row %d: %s", row, e.getMessage());
            }
            write(out, payload.flip());
        }
        write(out, scales.flip());
        if (written.size() > 2) {
            write(
                    out,
                    buffer(2 * Long.BYTES)
                            .putLong(tensor.rows())
                            .putLong(columns)
                            .flip());
        }
    }

    private static ByteBuffer buffer(long size) {
        return ByteBuffer.allocate(Math.toIntExact(size)).order(ByteOrder.LITTLE_ENDIAN);
    }

    static void write(FileChannel out, byte[] bytes) throws IOException {
        write(out, ByteBuffer.wrap(bytes));
    }

    private static void write(FileChannel out, ByteBuffer bytes) throws IOException {
        while (bytes.hasRemaining()) {
            out.write(bytes);
        }
    }
}
