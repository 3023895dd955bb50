package io.penstock.model.tensor;

/// Element formats of stored tensors. A row is a whole number of blocks.
///
/// Block layouts of the quantised ones are those of GGUF; see `io.penstock.model.quant` for their decoders.
public enum DType {
    F32(1, 4),
    F16(1, 2),
    BF16(1, 2),
    /// 32 signed bytes behind one f16 scale.
    Q8_0(32, 34),
    /// 32 nibbles, minus 8, behind one f16 scale; low nibbles are elements 0..15, high ones 16..31.
    Q4_0(32, 18),
    /// 32 nibbles behind an f16 scale and an f16 minimum.
    Q4_1(32, 20);

    private final int blockElements;
    private final int blockBytes;

    DType(int blockElements, int blockBytes) {
        this.blockElements = blockElements;
        this.blockBytes = blockBytes;
    }

    public int blockElements() {
        return blockElements;
    }

    public int blockBytes() {
        return blockBytes;
    }

    /// @param shape innermost extent a multiple of [#blockElements()]
    /// @return bytes of the whole tensor
    /// @throws IllegalArgumentException if a row is not a whole number of blocks, or the bytes exceed a long
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
