package io.penstock.shard.backend.cuda;

/// How the persistent kernel cuts its work; compiled into it, so Java must know the same numbers.
///
/// @param source name of the compiled kernel
/// @param warps that multiply, beside one that copies; four at a time attend
record DecodeTiling(String source, int warps) {
    private static final String PROPERTY = "penstock.cuda.decode-tiling";

    /// Elements of the longest vector.
    static final int MAX_HIDDEN = 8_192;

    DecodeTiling {
        if (warps < 4 || warps > 15) {
            throw new IllegalArgumentException("%d warps".formatted(warps));
        }
    }

    /// The one that measured best, or another to be measured: `source,warps` as a system property.
    static DecodeTiling chosen() {
        String[] parts = System.getProperty(PROPERTY, "decode,7").split(",");
        return new DecodeTiling(parts[0], Integer.parseInt(parts[1]));
    }

    int threads() {
        return 32 * (warps + 1);
    }

    /// Floats of shared memory that a run of tiles' sums have, and attention when it joins its
    /// warps' parts.
    int sumFloats(int headSize, int vectors) {
        return Math.max(4 * 8 * headSize + 128, warps * WeightFormat.TILE * vectors);
    }
}
