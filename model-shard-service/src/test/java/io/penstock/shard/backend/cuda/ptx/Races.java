package io.penstock.shard.backend.cuda.ptx;

/// What of a block's shared memory is ordered before what: accesses of two warps to the same place, one of them a
/// write,
/// need a barrier between them, and what a copy has brought may be read by those who waited for its barrier, whether it
/// happens to be there or not.
///
/// By vector clocks (FastTrack, Flanagan and Freund 2009) of all actors of a cluster. Threads of a warp are taken for
/// one. Volatile accesses are not looked at; of atomic ones, whether they
/// meet others.
final class Races {
    private static final int UNIT_BITS = 1;
    private static final int CLOCK_BITS = 24;
    private static final int CLOCK = (1 << CLOCK_BITS) - 1;
    private static final int ATOMIC = 1 << 31;

    private final Clocks clocks;
    private final int warps;
    private final int readers;
    /// Of each two bytes, who wrote them last, and when.
    private final int[] writes;
    private final int[] writeLines;
    /// Of each two bytes, who read them last since they were written, and when: as far as one reader follows another.
    private final int[] reads;
    /// Where readers do not, when each of them did.
    private final int[][] manyReads;

    Races(Clocks clocks, int bytes) {
        this.clocks = clocks;
        warps = clocks.warps;
        readers = clocks.readers;
        int units = (bytes >> UNIT_BITS) + 1;
        writes = new int[units];
        writeLines = new int[units];
        reads = new int[units];
        manyReads = new int[units][];
    }

    /// @param at index of the first byte
    void read(int warp, int at, int size) {
        read(warp, at, size, warp, clocks.clock(warp));
    }

    /// The same for what a warp has started: its part of its warpgroup's product, or a store.
    ///
    /// @param reader the product's actor, or the store's
    /// @param clock number of the products, or of the warp's stores, with this
    void read(int warp, int at, int size, int reader, int clock) {
        int[] known = clocks.of(warp);
        for (int unit = at >> UNIT_BITS; unit <= (at + size - 1) >> UNIT_BITS; unit++) {
            int write = writes[unit];
            int actor = (write >>> CLOCK_BITS) & 0x7f;
            if (actor != warp && known[actor] < (write & CLOCK)) {
                throw new PtxFault(
                        "warp %d reads shared address %d, which %s; no barrier is between",
                        warp, (unit << UNIT_BITS) + SharedMemory.BASE, writer(actor, unit));
            }
            noteRead(unit, known, reader, clock);
        }
    }

    private void noteRead(int unit, int[] known, int reader, int clock) {
        int[] many = manyReads[unit];
        if (many != null) {
            many[reader] = clock;
            return;
        }
        int last = reads[unit];
        int before = last >>> CLOCK_BITS;
        if (last != 0 && before != reader && known[before] < (last & CLOCK)) {
            many = new int[readers];
            many[before] = last & CLOCK;
            many[reader] = clock;
            manyReads[unit] = many;
            return;
        }
        reads[unit] = (reader << CLOCK_BITS) | (clock & CLOCK);
    }

    private String writer(int actor, int unit) {
        return actor < warps
                ? "warp %d wrote at line %d".formatted(actor, writeLines[unit])
                : "a copy started at line %d wrote".formatted(writeLines[unit]);
    }

    void write(int warp, int at, int size, int line) {
        ordered(warp, at, size, false);
        mark(warp, clocks.clock(warp), at, size, line, false);
    }

    void atomic(int warp, int at, int size, int line) {
        ordered(warp, at, size, true);
        mark(warp, clocks.clock(warp), at, size, line, true);
    }

    /// A copy that a warp has started is there.
    void land(int actor, int clock, int at, int size, int line) {
        mark(actor, clock, at, size, line, false);
    }

    private void mark(int actor, int clock, int at, int size, int line, boolean atomic) {
        int tag = (actor << CLOCK_BITS) | (clock & CLOCK) | (atomic ? ATOMIC : 0);
        for (int unit = at >> UNIT_BITS; unit <= (at + size - 1) >> UNIT_BITS; unit++) {
            writes[unit] = tag;
            reads[unit] = 0;
            manyReads[unit] = null;
            writeLines[unit] = line;
        }
    }

    /// Whether a warp may write, as far as others' accesses are concerned.
    void ordered(int warp, int at, int size, boolean atomic) {
        int[] known = clocks.of(warp);
        for (int unit = at >> UNIT_BITS; unit <= (at + size - 1) >> UNIT_BITS; unit++) {
            int write = writes[unit];
            int actor = (write >>> CLOCK_BITS) & 0x7f;
            if (actor != warp && known[actor] < (write & CLOCK) && !(atomic && write < 0)) {
                throw new PtxFault(
                        "warp %d writes shared address %d, which %s; no barrier is between",
                        warp, (unit << UNIT_BITS) + SharedMemory.BASE, writer(actor, unit));
            }
            int[] many = manyReads[unit];
            int last = reads[unit];
            if (many == null) {
                followed(warp, known, last >>> CLOCK_BITS, last & CLOCK, unit);
            } else {
                for (int other = 0; other < readers; other++) {
                    followed(warp, known, other, many[other], unit);
                }
            }
        }
    }

    private void followed(int warp, int[] known, int reader, int clock, int unit) {
        if (reader != warp && known[reader] < clock) {
            throw new PtxFault(
                    "warp %d writes shared address %d, which %s %d has read; no barrier is between",
                    warp,
                    (unit << UNIT_BITS) + SharedMemory.BASE,
                    reader < warps ? "warp" : reader < readers - warps ? "a product of warpgroup" : "a store of warp",
                    reader < warps ? reader : reader < readers - warps ? reader - warps : reader - readers + warps);
        }
    }
}
