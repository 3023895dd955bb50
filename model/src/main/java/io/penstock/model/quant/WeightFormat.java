package io.penstock.model.quant;

import io.penstock.model.tensor.DType;

/// How a matrix `[outputs, inputs]` is stored, where its elements alone do not say what its weights
/// are: a payload, and [Companion] tensors beside it. What each is and which shape it has is here;
/// [MatrixDecoder] is the definition of what they mean.
///
/// Whoever has a faster way to read a format (a kernel, say) switches over this.
public sealed interface WeightFormat {
    /// Payload `[outputs, inputs]` of F8_E4M3, F8_E5M2 or I8. A weight is its element times the scale
    /// of its tile times `unit`; tiles at the lower and right edges are cut. [Companion#SCALES] is
    /// `[tiles down, tiles across]`.
    ///
    /// DeepSeek's `weight_scale_inv` (tiles of 128 x 128) is a factor too, whatever its name says.
    ///
    /// @param tileRows 0 for all rows
    /// @param tileColumns 0 for all columns
    /// @param unit what all scales are in: 1, or 1/127 for bitsandbytes' int8
    record Scaled(DType elements, int tileRows, int tileColumns, float unit) implements WeightFormat {
        public static final Scaled PER_TENSOR = new Scaled(DType.F8_E4M3, 0, 0, 1);

        public Scaled {
            if (tileRows < 0 || tileColumns < 0) {
                throw new IllegalArgumentException("tiles of %d x %d".formatted(tileRows, tileColumns));
            }
        }

        public int tilesDown(int rows) {
            return tileRows == 0 ? 1 : Math.ceilDiv(rows, tileRows);
        }

        public int tilesAcross(int columns) {
            return tileColumns == 0 ? 1 : Math.ceilDiv(columns, tileColumns);
        }
    }

    /// Unsigned integers of a few bits, packed into words of I32, the first in the lowest bits. A
    /// weight is `(element - zero) * scale`, with one scale and one zero for each output and group of
    /// inputs.
    ///
    /// @param bits 4 or 8
    /// @param groupSize inputs that share a scale; 0 for all of them
    /// @param reordered whether [Companion#GROUPS] says which group each input belongs to; else groups
    ///     are runs
    record Grouped(int bits, int groupSize, Packing packing, Zeros zeros, boolean reordered) implements WeightFormat {
        public Grouped {
            if (bits != 4 && bits != 8) {
                throw new IllegalArgumentException("%d bits; 4 and 8 are read".formatted(bits));
            }
            if (groupSize < 0) {
                throw new IllegalArgumentException("groups of " + groupSize);
            }
        }

        public int perWord() {
            return Integer.SIZE / bits;
        }

        public int groups(int inputs) {
            return groupSize == 0 ? 1 : Math.ceilDiv(inputs, groupSize);
        }
    }

    /// Where the integers of [Grouped] lie.
    enum Packing {
        /// GPTQ. Payload `[inputs / perWord, outputs]`, a word holds consecutive inputs of one output.
        /// SCALES are `[groups, outputs]`, ZEROS `[groups, outputs / perWord]`.
        INPUTS_DOWN,
        /// AWQ. Payload `[inputs, outputs / perWord]`; a word holds consecutive outputs of one input,
        /// those of even number before the odd ones (0 2 4 6 1 3 5 7). SCALES are `[groups, outputs]`,
        /// ZEROS as the payload.
        OUTPUTS_ACROSS,
        /// compressed-tensors. Payload `[outputs, inputs / perWord]`, the last word of a row padded.
        /// SCALES are `[outputs, groups]`, ZEROS `[outputs / perWord, groups]`, a word holds
        /// consecutive outputs.
        INPUTS_ACROSS
    }

    /// What is taken away from the integers of [Grouped].
    enum Zeros {
        /// Half of their range; no tensor says so.
        MIDDLE,
        /// What ZEROS holds.
        STORED,
        /// One more than what ZEROS holds, as GPTQ's first file format has it.
        STORED_LESS_ONE
    }

    /// bitsandbytes. Payload U8, all elements in one run two a byte, the first in the high half: places
    /// in a table of 16 numbers ([Companion#CODES]). A weight is its number times the scale of its
    /// block; blocks are runs over the matrix, whatever its rows.
    ///
    /// @param blockSize elements a block
    /// @param nested whether SCALES are themselves places in a table ([Companion#NESTED_CODES]), times
    ///     [Companion#NESTED_SCALES], plus the offset that [Companion#STATE] names
    record Tabled(int blockSize, boolean nested) implements WeightFormat {
        /// Scales that share a nested scale, in all files that there are.
        public static final int NESTED_BLOCK = 256;

        public Tabled {
            if (blockSize < 2 || blockSize % 2 != 0) {
                throw new IllegalArgumentException("blocks of " + blockSize);
            }
        }
    }
}
