package io.penstock.shard.backend.cuda.ptx;

import java.util.Arrays;

/// What of a block's shared memory is ordered before what: accesses of two warps to the same place, one of them a
/// write,
/// need a barrier between them, and what a copy has brought may be read by those who waited for its barrier, whether it
/// happens to be there or not.
///
/// By vector clocks (FastTrack, Flanagan and Freund 2009); actors are the warps and, for their copies, the barriers
/// that
/// count bytes. Threads of a warp are taken for one. Volatile accesses are not looked at; of atomic ones, whether they
/// meet others.
final class Races {
    private static final int MOST_BARRIERS = 64;
    private static final int UNIT_BITS = 1;
    private static final int CLOCK_BITS = 24;
    private static final int CLOCK = (1 << CLOCK_BITS) - 1;
    private static final int ATOMIC = 1 << 31;

    private final int warps;
    /// Warps, then warpgroups' products.
    private final int readers;
    private final int[][] clocks;
    /// Of each two bytes, who wrote them last, and when.
    private final int[] writes;
    private final int[] writeLines;
    /// Of each two bytes, who read them last since they were written, and when: as far as one reader follows another.
    private final int[] reads;
    /// Where readers do not, when each of them did.
    private final int[][] manyReads;
    private int barriers;

    Races(int warps, int bytes) {
        this.warps = warps;
        readers = warps + (warps + Block.GROUP - 1) / Block.GROUP;
        clocks = new int[warps][readers + MOST_BARRIERS];
        for (int i = 0; i < warps; i++) {
            clocks[i][i] = 1;
        }
        int units = (bytes >> UNIT_BITS) + 1;
        writes = new int[units];
        writeLines = new int[units];
        reads = new int[units];
        manyReads = new int[units][];
    }

    /// What has come to a barrier.
    int[] nothing() {
        return new int[readers + MOST_BARRIERS];
    }

    /// An actor for a new barrier's copies.
    int actor() {
        if (barriers == MOST_BARRIERS) {
            throw new PtxFault("more than %d barriers in a block", MOST_BARRIERS);
        }
        return readers + barriers++;
    }

    int clock(int warp) {
        return clocks[warp][warp];
    }

    /// What a warp did until now comes to a barrier.
    void arrive(int warp, int[] barrier) {
        join(barrier, clocks[warp]);
        clocks[warp][warp]++;
    }

    /// A warp goes on behind all that came to a barrier.
    void pass(int warp, int[] barrier) {
        join(clocks[warp], barrier);
    }

    static void join(int[] to, int[] from) {
        for (int i = 0; i < to.length; i++) {
            to[i] = Math.max(to[i], from[i]);
        }
    }

    static void clear(int[] barrier) {
        Arrays.fill(barrier, 0);
    }

    /// A warp goes on behind so many of its warpgroup's products.
    void passProducts(int warp, int count) {
        int actor = warps + warp / Block.GROUP;
        clocks[warp][actor] = Math.max(clocks[warp][actor], count);
    }

    /// @param at index of the first byte
    void read(int warp, int at, int size) {
        read(warp, at, size, warp, clocks[warp][warp]);
    }

    /// The same for a warpgroup's product, of which this is the warp's part.
    ///
    /// @param count of products, with this
    void readForProduct(int warp, int at, int size, int count) {
        read(warp, at, size, warps + warp / Block.GROUP, count);
    }

    private void read(int warp, int at, int size, int reader, int clock) {
        int[] known = clocks[warp];
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
        mark(warp, clocks[warp][warp], at, size, line, false);
    }

    void atomic(int warp, int at, int size, int line) {
        ordered(warp, at, size, true);
        mark(warp, clocks[warp][warp], at, size, line, true);
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
        int[] known = clocks[warp];
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
                    reader < warps ? "warp" : "a product of warpgroup",
                    reader < warps ? reader : reader - warps);
        }
    }
}
