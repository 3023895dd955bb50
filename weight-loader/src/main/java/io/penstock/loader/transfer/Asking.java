package io.penstock.loader.transfer;

import io.penstock.loader.source.Snapshot;
import java.util.BitSet;
import java.util.HashMap;
import java.util.List;
import java.util.Map;
import java.util.concurrent.atomic.AtomicLong;

/// One caller's wish for ranges of one file, and how far it has been met. All state but what was fetched is guarded by
/// its [FileTransfer]'s lock.
final class Asking {
    private final Snapshot snapshot;
    private final List<ByteRange> ranges;
    private final BitSet wanted;
    private final boolean withheld;
    private final boolean urgent;
    private final FileWish.Listener listener;
    private final BitSet remaining;
    private final int pieceSize;
    /// Bytes by where they came from.
    private final Map<String, Long> arrived = new HashMap<>();

    // Counted by every connection that brings pieces, each before it lands.
    private final AtomicLong fetched = new AtomicLong();

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

    /// @return bytes that have come from a tier, or a kind of source
    long arrived(String from) {
        return arrived.getOrDefault(from, 0L);
    }

    long fetched() {
        return fetched.get();
    }

    void addFetched(long bytes) {
        fetched.addAndGet(bytes);
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

    /// Takes note of pieces that are there, and announces what was asked of them.
    ///
    /// @param tier that they are in
    /// @param rest where the others will come from
    void arrive(BitSet present, String tier, String rest) {
        for (int from = remaining.nextSetBit(0); from >= 0; ) {
            int to = remaining.nextClearBit(from);
            for (int start = present.nextSetBit(from); start >= 0 && start < to; ) {
                int end = Math.min(present.nextClearBit(start), to);
                take(start, end, tier);
                start = present.nextSetBit(end);
            }
            from = remaining.nextSetBit(to);
        }
        listener.progress(new FileWish.Progress(arrived, rest));
    }

    /// The same for one piece that has come, and was still missing.
    ///
    /// @param from the tier or the source's kind
    void arrive(int piece, String from, String rest) {
        take(piece, piece + 1, from);
        listener.progress(new FileWish.Progress(arrived, rest));
    }

    /// @param to exclusive
    private void take(int from, int to, String origin) {
        remaining.clear(from, to);
        overlaps(
                (long) from * pieceSize,
                (long) to * pieceSize,
                (_, length) -> arrived.merge(origin, length, Long::sum));
        if (!withheld) {
            overlaps((long) from * pieceSize, (long) to * pieceSize, listener::present);
        }
    }

    /// All of the file is verified.
    void tellWithheld() {
        if (withheld) {
            ranges.forEach(range -> listener.present(range.offset(), range.length()));
        }
    }

    /// What has come was wrong and is gone.
    void startOver(String rest) {
        remaining.or(wanted);
        arrived.clear();
        listener.progress(new FileWish.Progress(arrived, rest));
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
