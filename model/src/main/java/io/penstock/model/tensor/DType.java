package io.penstock.model.tensor;

/// Element formats of stored tensors. A row is a whole number of blocks.
///
/// Block layouts of the quantised ones are those of GGUF; see `io.penstock.model.quant` for their
/// decoders.
public enum DType {
    F32(1, 4),
    F16(1, 2),
    BF16(1, 2),
    /// 32 signed bytes behind one f16 scale.
    Q8_0(32, 34),
    /// 32 nibbles, minus 8, behind one f16 scale; low nibbles are elements 0..15, high ones 16..31.
    Q4_0(32, 18),
    /// 32 nibbles behind an f16 scale and an f16 minimum.
    Q4_1(32, 20),
    /// As Q4_0, with a fifth bit of each element in the four bytes before the nibbles; minus 16.
    Q5_0(32, 22),
    /// As Q4_1, with a fifth bit likewise.
    Q5_1(32, 24),
    /// 256 elements in 16 groups, of 2 bits; a group's scale and minimum are 4 bits each, times two f16.
    Q2_K(256, 84),
    /// 256 elements in 16 groups, of 3 bits; a group's scale is 6 bits, times an f16.
    Q3_K(256, 110),
    /// 256 elements in 8 groups, of 4 bits; a group's scale and minimum are 6 bits each, times two f16.
    Q4_K(256, 144),
    /// As Q4_K, of 5 bits.
    Q5_K(256, 176),
    /// 256 elements in 16 groups, of 6 bits; a group's scale is a signed byte, times an f16.
    Q6_K(256, 210),
    /// Sign, 4 bits of exponent, 3 of mantissa; no infinities, 448 is the greatest (OCP 8-bit floats,
    /// arXiv 2209.05433).
    F8_E4M3(1, 1),
    /// Sign, 5 bits of exponent, 2 of mantissa: the upper half of an f16.
    F8_E5M2(1, 1),
    /// Signed bytes, which another tensor scales.
    I8(1, 1),
    /// Bytes that hold codes, or text.
    U8(1, 1),
    /// Words that hold packed integers.
    I32(1, 4),
    I64(1, 8);

    private final int blockElements;
    private final int blockBytes;

    DType(int blockElements, int blockBytes) {
        this.blockElements = blockElements;
        this.blockBytes = blockBytes;
    }

    /// Whether an element, or a block of them, says by itself what its weights are. Others are read
    /// with tensors beside them, see `io.penstock.model.quant.WeightFormat`.
    public boolean standsAlone() {
        return switch (this) {
            case F32, F16, BF16, Q8_0, Q4_0, Q4_1, Q5_0, Q5_1, Q2_K, Q3_K, Q4_K, Q5_K, Q6_K -> true;
            case F8_E4M3, F8_E5M2, I8, U8, I32, I64 -> false;
        };
    }

    public int blockElements() {
        return blockElements;
    }

    public int blockBytes() {
        return blockBytes;
    }

    /// @param shape innermost extent a multiple of [#blockElements()]
    /// @return bytes of the whole tensor
    /// @throws IllegalArgumentException if a row is not a whole number of blocks, or the bytes exceed a
    ///     long
    public long bytesFor(Shape shape) {
        long innermost = shape.rank() == 0 ? 1 : shape.extent(shape.rank() - 1);
        if (innermost % blockElements != 0) {
            throw new IllegalArgumentException(
                    "rows of %d elements are not whole %s blocks of %d".formatted(innermost, this, blockElements));
        }
        long blocks = shape.elementCount() / blockElements;
        if (blocks > Long.MAX_VALUE / blockBytes) {
            throw new IllegalArgumentException("%d %s blocks pass 63 bits of bytes".formatted(blocks, this));
        }
        return blocks * blockBytes;
    }

    /// @param elements a whole number of blocks
    /// @return bytes of that many elements in a row
    /// @throws IllegalArgumentException if a block would be cut
    public long bytesFor(long elements) {
        return bytesFor(Shape.of(elements));
    }
}
