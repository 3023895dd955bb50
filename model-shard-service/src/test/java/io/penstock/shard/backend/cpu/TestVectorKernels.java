package io.penstock.shard.backend.cpu;

import static org.assertj.core.api.Assertions.assertThat;

import io.penstock.model.quant.Decoder;
import io.penstock.model.tensor.DType;
import java.lang.foreign.Arena;
import java.lang.foreign.MemorySegment;
import java.nio.ByteBuffer;
import java.nio.ByteOrder;
import java.util.SplittableRandom;
import java.util.stream.IntStream;
import org.junit.jupiter.params.ParameterizedTest;
import org.junit.jupiter.params.provider.ValueSource;

/// The vector kernels are what users run; the scalar ones say what they must give,
/// to the last bit, at every width.
class TestVectorKernels {
    private static final Kernels SCALAR = new ScalarKernels();

    @ParameterizedTest
    @ValueSource(ints = {128, 256, 512})
    void multiplies(int bits) {
        Kernels vector = KernelsOfWidth.of(bits);
        assertThat(vector.description()).contains(bits + " bit");
        SplittableRandom random = new SplittableRandom(bits);
        try (Arena arena = Arena.ofConfined()) {
            float[] scratch = new float[Kernels.PANEL_SCRATCH];
            for (Elements elements : Elements.values()) {
                DType dtype = elements.stored();
                for (int tokens : new int[] {1, 2, 4, 7, 11, 12, 27}) {
                    int rows = 1 + random.nextInt(150);
                    // Many tokens take more columns at a time, and only then are there several times.
                    int most = tokens == 27 ? 60 * PackedMatrix.BLOCK_COLUMNS : 100;
                    int columns = dtype.blockElements() * (1 + random.nextInt(most / dtype.blockElements()));
                    MemorySegment stored = MemorySegment.ofArray(blocks(dtype, rows * columns, random));
                    PackedMatrix matrix = pack(elements, rows, columns, stored, arena);
                    int xStride = Math.ceilDiv(columns, 32) * 32 + 32;
                    float[] x = new float[tokens * xStride];
                    for (int i = 0; i < tokens; i++) {
                        System.arraycopy(floats(random, columns), 0, x, i * xStride, columns);
                    }
                    float[] expected = multiply(SCALAR, matrix, x, xStride, tokens, scratch);
                    assertThat(multiply(vector, matrix, x, xStride, tokens, scratch))
                            .as("%s %d x %d, %d tokens", dtype, rows, columns, tokens)
                            .isEqualTo(expected);
                    assertDecoded(matrix, stored);
                }
            }
        }
    }

    private static float[] multiply(
            Kernels kernels, PackedMatrix matrix, float[] x, int xStride, int tokens, float[] scratch) {
        float[] y = new float[tokens * matrix.paddedRows()];
        float[] sums = new float[1 + tokens * matrix.blocks()];
        for (int token = 0; token < tokens; token++) {
            int to = 1 + token * matrix.blocks();
            kernels.blockSums(x, token * xStride, matrix.blocks(), sums, to, new float[Kernels.SUM_LANES]);
        }
        for (int panel = 0; panel < matrix.panels(); panel++) {
            int at = panel * PackedMatrix.PANEL_ROWS;
            kernels.multiply(matrix, panel, x, 0, xStride, tokens, sums, 1, y, at, matrix.paddedRows(), scratch);
        }
        return y;
    }

    private static PackedMatrix pack(Elements elements, int rows, int columns, MemorySegment stored, Arena arena) {
        PackedMatrix matrix = new PackedMatrix(elements, rows, columns, arena);
        for (int panel = 0; panel < matrix.panels(); panel++) {
            assertThat(MatrixPacking.pack(
                            matrix, panel, stored, 0, elements.stored().bytesFor(columns)))
                    .isEqualTo(-1);
        }
        return matrix;
    }

    private static void assertDecoded(PackedMatrix matrix, MemorySegment stored) {
        int count = matrix.rows() * matrix.columns();
        float[] expected = new float[count];
        Decoder.of(matrix.elements().stored()).decode(stored, 0, expected, 0, count);
        float[] unpacked = new float[count];
        for (int row = 0; row < matrix.rows(); row++) {
            matrix.row(row, unpacked, row * matrix.columns());
        }
        assertThat(unpacked).as("%s", matrix.elements()).isEqualTo(expected);
    }

    /// Random elements as a file would hold them; scales of both signs, some of them subnormal.
    private static byte[] blocks(DType dtype, int count, SplittableRandom random) {
        ByteBuffer stored =
                ByteBuffer.allocate(Math.toIntExact(dtype.bytesFor(count))).order(ByteOrder.LITTLE_ENDIAN);
        while (stored.hasRemaining()) {
            switch (dtype) {
                case F32 -> stored.putFloat((float) random.nextGaussian());
                case F16 -> stored.putShort(half(random));
                case BF16 -> stored.putShort((short) (Float.floatToIntBits((float) random.nextGaussian()) >> 16));
                case Q8_0 -> putBlock(stored.putShort(half(random)), 32, random);
                case Q4_0 -> putBlock(stored.putShort(half(random)), 16, random);
                case Q4_1 -> putBlock(stored.putShort(half(random)).putShort(half(random)), 16, random);
                case Q5_0, Q5_1, Q2_K, Q3_K, Q4_K, Q5_K, Q6_K, F8_E4M3, F8_E5M2, I8, U8, I32, I64 ->
                    throw new IllegalArgumentException("not packed: " + dtype);
            }
        }
        return stored.array();
    }

    private static void putBlock(ByteBuffer stored, int bytes, SplittableRandom random) {
        byte[] quants = new byte[bytes];
        random.nextBytes(quants);
        stored.put(quants);
    }

    private static short half(SplittableRandom random) {
        float scale = random.nextInt(10) == 0 ? 1e-6f : 1;
        return Float.floatToFloat16(scale * (float) random.nextGaussian());
    }

    @ParameterizedTest
    @ValueSource(ints = {128, 256, 512})
    void normalisesAddsAndActivates(int bits) {
        Kernels vector = KernelsOfWidth.of(bits);
        SplittableRandom random = new SplittableRandom(bits);
        for (int round = 0; round < 200; round++) {
            int count = 1 + random.nextInt(200);
            float[] x = floats(random, count + 3);
            float[] weight = floats(random, count);
            float[] expected = new float[count + 3];
            float[] actual = new float[count + 3];
            float[] lanes = new float[Kernels.SUM_LANES];
            SCALAR.rmsNorm(x, 3, weight, count, 1e-5, expected, 2, lanes);
            vector.rmsNorm(x, 3, weight, count, 1e-5, actual, 2, lanes);
            assertThat(actual).isEqualTo(expected);
            SCALAR.add(x, 1, expected, 2, count);
            vector.add(x, 1, actual, 2, count);
            assertThat(actual).isEqualTo(expected);
            for (int i = 0; i < count; i++) {
                expected[i] *= 40;
                actual[i] *= 40;
            }
            SCALAR.swiglu(expected, 1, x, 2, count);
            vector.swiglu(actual, 1, x, 2, count);
            assertThat(actual).isEqualTo(expected);
        }
    }

    @ParameterizedTest
    @ValueSource(ints = {128, 256, 512})
    void attends(int bits) {
        Kernels vector = KernelsOfWidth.of(bits);
        SplittableRandom random = new SplittableRandom(bits);
        for (int round = 0; round < 40; round++) {
            int headSize = 2 * (1 + random.nextInt(70));
            int blockSize = 1 + random.nextInt(40);
            int kvHeads = 1 + random.nextInt(3);
            int group = 1 + random.nextInt(5);
            int length = 1 + random.nextInt(700);
            int blocks = Math.ceilDiv(length, blockSize);
            try (Arena arena = Arena.ofConfined()) {
                KvCache cache = new KvCache(2, kvHeads, headSize, blockSize, blocks, arena);
                int[] table = new int[blocks];
                for (int i = 0; i < blocks; i++) {
                    table[i] = (i * 7 + 3) % blocks;
                }
                fill(cache, table, length, kvHeads, random);
                int tokens = 1 + random.nextInt(Math.min(9, length));
                int stride = group * headSize + random.nextInt(5);
                float[] query = floats(random, tokens * stride + 1);
                float[] scratch = new float[Kernels.attentionScratchFloats(blockSize, headSize)];
                float[] expected = new float[query.length];
                float[] actual = new float[query.length];
                int head = kvHeads - 1;
                int first = length - tokens;
                SCALAR.attend(cache, 1, head, table, first, tokens, query, 1, stride, group, expected, scratch);
                vector.attend(cache, 1, head, table, first, tokens, query, 1, stride, group, actual, scratch);
                assertThat(actual)
                        .as("head size %d, blocks of %d, %d heads, %d positions", headSize, blockSize, group, length)
                        .isEqualTo(expected);
            }
        }
    }

    private static void fill(KvCache cache, int[] table, int length, int kvHeads, SplittableRandom random) {
        if (IntStream.of(table).distinct().count() < table.length) {
            for (int i = 0; i < table.length; i++) {
                table[i] = table.length - 1 - i;
            }
        }
        for (int position = 0; position < length; position++) {
            for (int head = 0; head < kvHeads; head++) {
                float[] key = floats(random, cache.headSize());
                float[] value = floats(random, cache.headSize());
                int block = table[position / cache.blockSize()];
                cache.write(1, block, head, position % cache.blockSize(), key, 0, value, 0);
            }
        }
    }

    private static float[] floats(SplittableRandom random, int count) {
        float[] values = new float[count];
        for (int i = 0; i < count; i++) {
            values[i] = (float) random.nextGaussian();
        }
        return values;
    }
}
