package io.penstock.loader.transfer;

import io.penstock.loader.source.Snapshot;
import java.util.BitSet;
import java.util.List;

/// One caller's wish for ranges of one file, and how far it has been met. All state is guarded by its
/// [FileTransfer]'s lock.
final class Asking {
    private final Snapshot snapshot;
    private final List<ByteRange> ranges;
    private final BitSet wanted;
    private final boolean withheld;
    private final boolean urgent;
    private final FileWish.Listener listener;
    private final BitSet remaining;
    private final int pieceSize;
    private long arrived;
    private long fetched;

    /// @param ranges checked
    /// @param withheld whether ranges are announced only when the whole file is verified
    /// @param urgent goes before others that are not
    Asking(
            Snapshot snapshot,
            List<ByteRange> ranges,
            int pieceSize,
            boolean withheld,
            boolean urgent,
            FileWish.Listener listener) {
        this.snapshot = snapshot;
        this.ranges = ranges;
        this.pieceSize = pieceSize;
        this.withheld = withheld;
        this.urgent = urgent;
        this.listener = listener;
        this.wanted = new BitSet();
        for (ByteRange range : ranges) {
            wanted.set((int) (range.offset() / pieceSize), (int) Math.ceilDiv(range.end(), pieceSize));
        }
        this.remaining = (BitSet) wanted.clone();
    }

    Snapshot snapshot() {
        return snapshot;
    }

    boolean isUrgent() {
        return urgent;
    }

    FileWish.Listener listener() {
        return listener;
    }

    long arrived() {
        return arrived;
    }

    long fetched() {
        return fetched;
    }

    void addFetched(long bytes) {
        fetched += bytes;
    }

    boolean isMet() {
        return remaining.isEmpty();
    }

    /// @return whether bytes were announced that turn out not to be verified
    boolean wasTold() {
        return !withheld && !remaining.equals(wanted);
    }

    boolean wants(int from, int to) {
        int next = remaining.nextSetBit(from);
        return next >= 0 && next < to;
    }

    /// @return the pieces that are still missing, live
    BitSet remaining() {
        return remaining;
    }

    /// Takes note of pieces that have come, and announces what was asked of them.
    void arrive(BitSet present) {
        for (int from = remaining.nextSetBit(0); from >= 0; ) {
            int to = remaining.nextClearBit(from);
            for (int start = present.nextSetBit(from); start >= 0 && start < to; ) {
                int end = Math.min(present.nextClearBit(start), to);
                arrive(start, end);
                start = present.nextSetBit(end);
            }
            from = remaining.nextSetBit(to);
        }
    }

    /// The same for pieces `from` to `to` (exclusive), each of which is still missing.
    void arrive(int from, int to) {
        remaining.clear(from, to);
        overlaps((long) from * pieceSize, (long) to * pieceSize, (_, length) -> arrived += length);
        if (!withheld) {
            overlaps((long) from * pieceSize, (long) to * pieceSize, listener::present);
        }
        listener.progress(arrived);
    }

    /// All of the file is verified.
    void tellWithheld() {
        if (withheld) {
            ranges.forEach(range -> listener.present(range.offset(), range.length()));
        }
    }

    /// What has come was wrong and is gone.
    void startOver() {
        remaining.or(wanted);
        arrived = 0;
        listener.progress(0);
    }

    private interface RangeConsumer {
        void accept(long offset, long length);
    }

    private void overlaps(long begin, long end, RangeConsumer consumer) {
        int low = 0;
        int high = ranges.size();
        while (low < high) {
            int middle = (low + high) >>> 1;
            if (ranges.get(middle).end() > begin) {
                high = middle;
            } else {
                low = middle + 1;
            }
        }
        for (int i = low; i < ranges.size() && ranges.get(i).offset() < end; i++) {
            long from = Math.max(begin, ranges.get(i).offset());
            consumer.accept(from, Math.min(end, ranges.get(i).end()) - from);
        }
    }
}
