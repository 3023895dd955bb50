package io.penstock.shard.backend.cuda;

/// How the persistent kernel cuts its work; compiled into it, so Java must know the same numbers.
///
/// @param source name of the compiled kernel
/// @param warps that multiply, in teams of two
/// @param unit columns of 16 rows that are one warp's piece of work
/// @param slots of the ring, two units each; a multiple of the teams: a slot always meets the same team
/// @param sums units whose sums wait at once, with one vector
record DecodeTiling(String source, int warps, int unit, int slots, int sums) {
    private static final String PROPERTY = "penstock.cuda.decode-tiling";

    DecodeTiling {
        if (warps % 2 != 0 || slots % (warps / 2) != 0) {
            throw new IllegalArgumentException("%d slots for %d warps".formatted(slots, warps));
        }
    }

    /// The one that measured best, or another to be measured: `source,warps,unit,slots,sums` as a
    /// system property.
    static DecodeTiling chosen() {
        String[] parts = System.getProperty(PROPERTY, "decode,10,512,5,256").split(",");
        return new DecodeTiling(
                parts[0],
                Integer.parseInt(parts[1]),
                Integer.parseInt(parts[2]),
                Integer.parseInt(parts[3]),
                Integer.parseInt(parts[4]));
    }

    int threads() {
        // One more warp copies.
        return 32 * warps + 32;
    }

    int slotBytes() {
        return 8 * (8 * unit + 64);
    }

    /// Shared memory beside the vectors: the ring, sums, what attention prepares, barriers.
    int sharedBytes(int headSize) {
        return slots * slotBytes() + sums * 16 * 4 + 48 + 36 * headSize + 128 + 16 * slots + 16;
    }

    /// Longest vector that a thread's registers hold its part of.
    int maxHidden() {
        return 8 * 4 * 32 * warps;
    }
}
