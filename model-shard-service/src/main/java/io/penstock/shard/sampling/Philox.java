package io.penstock.shard.sampling;

/// Counter-based random numbers: Philox4x32-10 of Salmon et al., "Parallel random numbers: as easy as 1, 2,
/// 3" (SC11). A draw is a pure function of its seed and its position, so a sequence that is resumed
/// elsewhere continues as it would have.
final class Philox {
    private static final int ROUNDS = 10;
    private static final long MULTIPLIER_0 = 0xD2511F53L;
    private static final long MULTIPLIER_1 = 0xCD9E8D57L;
    private static final int WEYL_0 = 0x9E3779B9;
    private static final int WEYL_1 = 0xBB67AE85;
    private static final long LOW = 0xFFFFFFFFL;

    private Philox() {}

    /// @return uniform in [0, 1), a multiple of 2^-53
    static double uniform(long seed, int position) {
        return (bits(position, 0, seed) >>> 11) * 0x1p-53;
    }

    /// The first 64 of a block's 128 bits: word 0 low, word 1 high.
    ///
    /// @param counterLow words 0 and 1 of the counter
    /// @param counterHigh words 2 and 3 of the counter
    static long bits(long counterLow, long counterHigh, long key) {
        int c0 = (int) counterLow;
        int c1 = (int) (counterLow >>> 32);
        int c2 = (int) counterHigh;
        int c3 = (int) (counterHigh >>> 32);
        int k0 = (int) key;
        int k1 = (int) (key >>> 32);
        for (int round = 0; round < ROUNDS; round++) {
            long product0 = MULTIPLIER_0 * (c0 & LOW);
            long product1 = MULTIPLIER_1 * (c2 & LOW);
            int next0 = (int) (product1 >>> 32) ^ c1 ^ k0;
            int next2 = (int) (product0 >>> 32) ^ c3 ^ k1;
            c1 = (int) product1;
            c3 = (int) product0;
            c0 = next0;
            c2 = next2;
            k0 += WEYL_0;
            k1 += WEYL_1;
        }
        return (c1 & LOW) << 32 | (c0 & LOW);
    }
}
