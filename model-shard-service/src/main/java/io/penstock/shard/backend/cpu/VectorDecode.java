package io.penstock.shard.backend.cpu;

import static io.penstock.shard.backend.cpu.VectorUnpacking.HALF_BIAS;
import static io.penstock.shard.backend.cpu.VectorUnpacking.HALF_BITS;
import static io.penstock.shard.backend.cpu.VectorUnpacking.ROW_BYTES;

import java.lang.foreign.MemorySegment;
import java.nio.ByteOrder;
import java.util.Arrays;
import jdk.incubator.vector.ByteVector;
import jdk.incubator.vector.FloatVector;
import jdk.incubator.vector.IntVector;
import jdk.incubator.vector.VectorOperators;
import jdk.incubator.vector.VectorSpecies;

/// Products of packed weights with one token's vector, unpacked in registers: what a decode step of one
/// sequence does. Block by block, so that memory is read in order; four vectors of rows at a time, since
/// a sum's next product waits for its last.
///
/// Written out, helpers and loops alike: C2 turns a vector that it hands to a method of ours into an
/// object, which costs ten times what the arithmetic does. The innermost loops over quantised weights count
/// by shifting a bit, for C2 unrolls those that count by adding: it then computes all masks first, keeps them
/// on the stack, and takes twice as long.
final class VectorDecode {
    private static final VectorSpecies<Float> F = VectorWidth.FLOATS;
    private static final VectorSpecies<Integer> I = VectorWidth.INTS;
    private static final ByteOrder LITTLE = ByteOrder.LITTLE_ENDIAN;
    /// Lanes and bytes of a vector.
    private static final int L = F.length();
    private static final long V = F.vectorByteSize();

    private static final int ROWS = PackedMatrix.PANEL_ROWS;
    private static final int COLUMNS = PackedMatrix.BLOCK_COLUMNS;

    private static final VectorSpecies<Byte> B = VectorWidth.BYTES;
    private static final int BYTES = B.length();
    /// Rows of 8-bit weights that are done at a time: as many sums as there are registers for.
    private static final int BYTES_STEP = L == 16 ? 4 * L : 8 * L;

    /// A nibble that is masked where it is in its word is 16^i times itself, exactly; so its activation is
    /// divided by that. The last one is moved down by one place.
    private static final float[] POWERS = new float[COLUMNS];

    private static final int LAST_NIBBLE = 0x0F00_0000;

    /// Where in the scratch a block's activations, so divided, are.
    private static final int POWERS_AT = 3 * ROWS;

    static {
        for (int k = 0; k < COLUMNS; k++) {
            POWERS[k] = 1f / (1 << (4 * Math.min(k % 8, 6)));
        }
    }

    private VectorDecode() {}

    /// @param sums of the blocks of `x`, from `n0`; read only where there are minima
    /// @param scratch of three rows of 64 floats, a block's sums, scales and minima, and 32 more
    static void multiply(
            PackedMatrix matrix,
            int panel,
            float[] x,
            int x0,
            float[] sums,
            int n0,
            float[] y,
            int y0,
            float[] scratch) {
        MemorySegment w = matrix.words();
        Elements elements = matrix.elements();
        long at = panel * matrix.panelBytes();
        int blocks = matrix.blocks();
        int blockBytes = matrix.blockBytes();
        long scaleBytes = (long) PackedMatrix.scaleWords(elements) * Integer.BYTES;
        Arrays.fill(y, y0, y0 + ROWS, 0f);
        for (int block = 0; block < blocks; block++) {
            int k = x0 + block * COLUMNS;
            if (elements == Elements.Q4_0 || elements == Elements.Q4_1) {
                scaleByPowers(x, k, scratch);
            }
            int step = elements == Elements.Q8_0 ? BYTES_STEP : 4 * L;
            for (int row = 0; row < ROWS; row += step) {
                long from = at + scaleBytes + (long) row * (elements == Elements.Q8_0 ? 1 : Integer.BYTES);
                switch (elements) {
                    case F32 -> floats(w, from, x, k, scratch, row);
                    case F16 -> halves(w, from, x, k, scratch, row);
                    case BF16 -> bfloats(w, from, x, k, scratch, row);
                    case Q8_0 -> {
                        if (L == 16) {
                            bytes4(w, from, x, k, scratch, row);
                        } else {
                            bytes8(w, from, x, k, scratch, row);
                        }
                    }
                    case Q4_0, Q4_1 -> nibbles(w, from, scratch, scratch, row);
                }
            }
            if (elements.isQuantised()) {
                VectorUnpacking.scales(matrix, at, 1, scratch, ROWS);
                if (elements.hasMinimum()) {
                    addMinima(scratch, sums[n0 + block], y, y0);
                }
                addScaled(scratch, y, y0);
            } else {
                addPlain(scratch, y, y0);
            }
            at += blockBytes;
        }
    }

    private static void scaleByPowers(float[] x, int x0, float[] scratch) {
        for (int k = 0; k < COLUMNS; k += L) {
            FloatVector.fromArray(F, x, x0 + k)
                    .mul(FloatVector.fromArray(F, POWERS, k))
                    .intoArray(scratch, POWERS_AT + k);
        }
    }

    private static void addMinima(float[] scratch, float sum, float[] y, int y0) {
        FloatVector n = FloatVector.broadcast(F, sum);
        for (int row = 0; row < ROWS; row += L) {
            FloatVector.fromArray(F, scratch, 2 * ROWS + row)
                    .fma(n, FloatVector.fromArray(F, y, y0 + row))
                    .intoArray(y, y0 + row);
        }
    }

    private static void addScaled(float[] scratch, float[] y, int y0) {
        for (int row = 0; row < ROWS; row += L) {
            FloatVector.fromArray(F, scratch, row)
                    .fma(FloatVector.fromArray(F, scratch, ROWS + row), FloatVector.fromArray(F, y, y0 + row))
                    .intoArray(y, y0 + row);
        }
    }

    private static void addPlain(float[] scratch, float[] y, int y0) {
        for (int row = 0; row < ROWS; row += L) {
            FloatVector.fromArray(F, scratch, row)
                    .add(FloatVector.fromArray(F, y, y0 + row))
                    .intoArray(y, y0 + row);
        }
    }

    private static void floats(MemorySegment w, long from, float[] x, int x0, float[] sums, int to) {
        FloatVector s0 = FloatVector.zero(F);
        FloatVector s1 = FloatVector.zero(F);
        FloatVector s2 = FloatVector.zero(F);
        FloatVector s3 = FloatVector.zero(F);
        for (int k = 0; k < COLUMNS; k++) {
            long word = from + k * ROW_BYTES;
            FloatVector b = FloatVector.broadcast(F, x[x0 + k]);
            s0 = FloatVector.fromMemorySegment(F, w, word, LITTLE).fma(b, s0);
            s1 = FloatVector.fromMemorySegment(F, w, word + V, LITTLE).fma(b, s1);
            s2 = FloatVector.fromMemorySegment(F, w, word + 2 * V, LITTLE).fma(b, s2);
            s3 = FloatVector.fromMemorySegment(F, w, word + 3 * V, LITTLE).fma(b, s3);
        }
        s0.intoArray(sums, to);
        s1.intoArray(sums, to + L);
        s2.intoArray(sums, to + 2 * L);
        s3.intoArray(sums, to + 3 * L);
    }

    private static void halves(MemorySegment w, long from, float[] x, int x0, float[] sums, int to) {
        FloatVector s0 = FloatVector.zero(F);
        FloatVector s1 = FloatVector.zero(F);
        FloatVector s2 = FloatVector.zero(F);
        FloatVector s3 = FloatVector.zero(F);
        for (int i = 0; i < COLUMNS / 2; i++) {
            long word = from + i * ROW_BYTES;
            int k = x0 + 2 * i;
            IntVector w0 = IntVector.fromMemorySegment(I, w, word, LITTLE);
            IntVector w1 = IntVector.fromMemorySegment(I, w, word + V, LITTLE);
            IntVector w2 = IntVector.fromMemorySegment(I, w, word + 2 * V, LITTLE);
            IntVector w3 = IntVector.fromMemorySegment(I, w, word + 3 * V, LITTLE);
            FloatVector low = FloatVector.broadcast(F, x[k]);
            s0 = w0.lanewise(VectorOperators.LSHL, 16)
                    .lanewise(VectorOperators.ASHR, 3)
                    .and(HALF_BITS)
                    .reinterpretAsFloats()
                    .mul(HALF_BIAS)
                    .fma(low, s0);
            s1 = w1.lanewise(VectorOperators.LSHL, 16)
                    .lanewise(VectorOperators.ASHR, 3)
                    .and(HALF_BITS)
                    .reinterpretAsFloats()
                    .mul(HALF_BIAS)
                    .fma(low, s1);
            s2 = w2.lanewise(VectorOperators.LSHL, 16)
                    .lanewise(VectorOperators.ASHR, 3)
                    .and(HALF_BITS)
                    .reinterpretAsFloats()
                    .mul(HALF_BIAS)
                    .fma(low, s2);
            s3 = w3.lanewise(VectorOperators.LSHL, 16)
                    .lanewise(VectorOperators.ASHR, 3)
                    .and(HALF_BITS)
                    .reinterpretAsFloats()
                    .mul(HALF_BIAS)
                    .fma(low, s3);
            FloatVector high = FloatVector.broadcast(F, x[k + 1]);
            s0 = w0.lanewise(VectorOperators.ASHR, 3)
                    .and(HALF_BITS)
                    .reinterpretAsFloats()
                    .mul(HALF_BIAS)
                    .fma(high, s0);
            s1 = w1.lanewise(VectorOperators.ASHR, 3)
                    .and(HALF_BITS)
                    .reinterpretAsFloats()
                    .mul(HALF_BIAS)
                    .fma(high, s1);
            s2 = w2.lanewise(VectorOperators.ASHR, 3)
                    .and(HALF_BITS)
                    .reinterpretAsFloats()
                    .mul(HALF_BIAS)
                    .fma(high, s2);
            s3 = w3.lanewise(VectorOperators.ASHR, 3)
                    .and(HALF_BITS)
                    .reinterpretAsFloats()
                    .mul(HALF_BIAS)
                    .fma(high, s3);
        }
        s0.intoArray(sums, to);
        s1.intoArray(sums, to + L);
        s2.intoArray(sums, to + 2 * L);
        s3.intoArray(sums, to + 3 * L);
    }

    private static void bfloats(MemorySegment w, long from, float[] x, int x0, float[] sums, int to) {
        FloatVector s0 = FloatVector.zero(F);
        FloatVector s1 = FloatVector.zero(F);
        FloatVector s2 = FloatVector.zero(F);
        FloatVector s3 = FloatVector.zero(F);
        for (int i = 0; i < COLUMNS / 2; i++) {
            long word = from + i * ROW_BYTES;
            int k = x0 + 2 * i;
            IntVector w0 = IntVector.fromMemorySegment(I, w, word, LITTLE);
            IntVector w1 = IntVector.fromMemorySegment(I, w, word + V, LITTLE);
            IntVector w2 = IntVector.fromMemorySegment(I, w, word + 2 * V, LITTLE);
            IntVector w3 = IntVector.fromMemorySegment(I, w, word + 3 * V, LITTLE);
            FloatVector low = FloatVector.broadcast(F, x[k]);
            s0 = w0.lanewise(VectorOperators.LSHL, 16).reinterpretAsFloats().fma(low, s0);
            s1 = w1.lanewise(VectorOperators.LSHL, 16).reinterpretAsFloats().fma(low, s1);
            s2 = w2.lanewise(VectorOperators.LSHL, 16).reinterpretAsFloats().fma(low, s2);
            s3 = w3.lanewise(VectorOperators.LSHL, 16).reinterpretAsFloats().fma(low, s3);
            FloatVector high = FloatVector.broadcast(F, x[k + 1]);
            s0 = w0.and(0xFFFF_0000).reinterpretAsFloats().fma(high, s0);
            s1 = w1.and(0xFFFF_0000).reinterpretAsFloats().fma(high, s1);
            s2 = w2.and(0xFFFF_0000).reinterpretAsFloats().fma(high, s2);
            s3 = w3.and(0xFFFF_0000).reinterpretAsFloats().fma(high, s3);
        }
        s0.intoArray(sums, to);
        s1.intoArray(sums, to + L);
        s2.intoArray(sums, to + 2 * L);
        s3.intoArray(sums, to + 3 * L);
    }

    /// Which byte is loaded for the i-th vector of rows, and which part of what is loaded it becomes: only
    /// vectors of 4 floats have several.
    private static int loaded(int i) {
        return i * L / BYTES * BYTES;
    }

    private static int part(int i) {
        return i % (BYTES / L);
    }

    private static void bytes4(MemorySegment w, long from, float[] x, int x0, float[] sums, int to) {
        FloatVector s0 = FloatVector.zero(F);
        FloatVector s1 = FloatVector.zero(F);
        FloatVector s2 = FloatVector.zero(F);
        FloatVector s3 = FloatVector.zero(F);
        long at = from;
        int k = x0;
        // Once a column, 32 times. With an int that counts, bounds of the segment are dear, too.
        for (int column = 1; column != 0; column <<= 1) {
            FloatVector b = FloatVector.broadcast(F, x[k]);
            s0 = ((FloatVector) ByteVector.fromMemorySegment(B, w, at + loaded(0), LITTLE)
                            .convertShape(VectorOperators.B2F, F, part(0)))
                    .fma(b, s0);
            s1 = ((FloatVector) ByteVector.fromMemorySegment(B, w, at + loaded(1), LITTLE)
                            .convertShape(VectorOperators.B2F, F, part(1)))
                    .fma(b, s1);
            s2 = ((FloatVector) ByteVector.fromMemorySegment(B, w, at + loaded(2), LITTLE)
                            .convertShape(VectorOperators.B2F, F, part(2)))
                    .fma(b, s2);
            s3 = ((FloatVector) ByteVector.fromMemorySegment(B, w, at + loaded(3), LITTLE)
                            .convertShape(VectorOperators.B2F, F, part(3)))
                    .fma(b, s3);
            at += ROWS;
            k++;
        }
        s0.intoArray(sums, to);
        s1.intoArray(sums, to + L);
        s2.intoArray(sums, to + 2 * L);
        s3.intoArray(sums, to + 3 * L);
    }

    private static void bytes8(MemorySegment w, long from, float[] x, int x0, float[] sums, int to) {
        FloatVector s0 = FloatVector.zero(F);
        FloatVector s1 = FloatVector.zero(F);
        FloatVector s2 = FloatVector.zero(F);
        FloatVector s3 = FloatVector.zero(F);
        FloatVector s4 = FloatVector.zero(F);
        FloatVector s5 = FloatVector.zero(F);
        FloatVector s6 = FloatVector.zero(F);
        FloatVector s7 = FloatVector.zero(F);
        long at = from;
        int k = x0;
        // Once a column, 32 times. With an int that counts, bounds of the segment are dear, too.
        for (int column = 1; column != 0; column <<= 1) {
            FloatVector b = FloatVector.broadcast(F, x[k]);
            s0 = ((FloatVector) ByteVector.fromMemorySegment(B, w, at + loaded(0), LITTLE)
                            .convertShape(VectorOperators.B2F, F, part(0)))
                    .fma(b, s0);
            s1 = ((FloatVector) ByteVector.fromMemorySegment(B, w, at + loaded(1), LITTLE)
                            .convertShape(VectorOperators.B2F, F, part(1)))
                    .fma(b, s1);
            s2 = ((FloatVector) ByteVector.fromMemorySegment(B, w, at + loaded(2), LITTLE)
                            .convertShape(VectorOperators.B2F, F, part(2)))
                    .fma(b, s2);
            s3 = ((FloatVector) ByteVector.fromMemorySegment(B, w, at + loaded(3), LITTLE)
                            .convertShape(VectorOperators.B2F, F, part(3)))
                    .fma(b, s3);
            s4 = ((FloatVector) ByteVector.fromMemorySegment(B, w, at + loaded(4), LITTLE)
                            .convertShape(VectorOperators.B2F, F, part(4)))
                    .fma(b, s4);
            s5 = ((FloatVector) ByteVector.fromMemorySegment(B, w, at + loaded(5), LITTLE)
                            .convertShape(VectorOperators.B2F, F, part(5)))
                    .fma(b, s5);
            s6 = ((FloatVector) ByteVector.fromMemorySegment(B, w, at + loaded(6), LITTLE)
                            .convertShape(VectorOperators.B2F, F, part(6)))
                    .fma(b, s6);
            s7 = ((FloatVector) ByteVector.fromMemorySegment(B, w, at + loaded(7), LITTLE)
                            .convertShape(VectorOperators.B2F, F, part(7)))
                    .fma(b, s7);
            at += ROWS;
            k++;
        }
        s0.intoArray(sums, to);
        s1.intoArray(sums, to + L);
        s2.intoArray(sums, to + 2 * L);
        s3.intoArray(sums, to + 3 * L);
        s4.intoArray(sums, to + 4 * L);
        s5.intoArray(sums, to + 5 * L);
        s6.intoArray(sums, to + 6 * L);
        s7.intoArray(sums, to + 7 * L);
    }

    private static void nibbles(MemorySegment w, long from, float[] x, float[] sums, int to) {
        FloatVector s0 = FloatVector.zero(F);
        FloatVector s1 = FloatVector.zero(F);
        FloatVector s2 = FloatVector.zero(F);
        FloatVector s3 = FloatVector.zero(F);
        int k = POWERS_AT;
        for (int i = 0; i < COLUMNS / 8; i++) {
            long word = from + i * ROW_BYTES;
            IntVector w0 = IntVector.fromMemorySegment(I, w, word, LITTLE);
            IntVector w1 = IntVector.fromMemorySegment(I, w, word + V, LITTLE);
            IntVector w2 = IntVector.fromMemorySegment(I, w, word + 2 * V, LITTLE);
            IntVector w3 = IntVector.fromMemorySegment(I, w, word + 3 * V, LITTLE);
            IntVector mask = IntVector.broadcast(I, 15);
            // Seven times.
            for (int bits = 15; bits > 0; bits <<= 4) {
                FloatVector b = FloatVector.broadcast(F, x[k]);
                s0 = ((FloatVector) w0.and(mask).convert(VectorOperators.I2F, 0)).fma(b, s0);
                s1 = ((FloatVector) w1.and(mask).convert(VectorOperators.I2F, 0)).fma(b, s1);
                s2 = ((FloatVector) w2.and(mask).convert(VectorOperators.I2F, 0)).fma(b, s2);
                s3 = ((FloatVector) w3.and(mask).convert(VectorOperators.I2F, 0)).fma(b, s3);
                mask = mask.lanewise(VectorOperators.LSHL, 4);
                k++;
            }
            // The last would be a negative number where it is.
            FloatVector b = FloatVector.broadcast(F, x[k]);
            s0 = ((FloatVector) w0.lanewise(VectorOperators.LSHR, 4)
                            .and(LAST_NIBBLE)
                            .convert(VectorOperators.I2F, 0))
                    .fma(b, s0);
            s1 = ((FloatVector) w1.lanewise(VectorOperators.LSHR, 4)
                            .and(LAST_NIBBLE)
                            .convert(VectorOperators.I2F, 0))
                    .fma(b, s1);
            s2 = ((FloatVector) w2.lanewise(VectorOperators.LSHR, 4)
                            .and(LAST_NIBBLE)
                            .convert(VectorOperators.I2F, 0))
                    .fma(b, s2);
            s3 = ((FloatVector) w3.lanewise(VectorOperators.LSHR, 4)
                            .and(LAST_NIBBLE)
                            .convert(VectorOperators.I2F, 0))
                    .fma(b, s3);
            k++;
        }
        s0.intoArray(sums, to);
        s1.intoArray(sums, to + L);
        s2.intoArray(sums, to + 2 * L);
        s3.intoArray(sums, to + 3 * L);
    }
}
