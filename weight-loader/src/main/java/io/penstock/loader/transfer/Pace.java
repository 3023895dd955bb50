package io.penstock.loader.transfer;

import io.penstock.loader.source.TransientFailure;
import java.util.ArrayDeque;
import java.util.ArrayList;
import java.util.Deque;
import java.util.HashMap;
import java.util.List;
import java.util.Map;
import java.util.Set;
import java.util.concurrent.ConcurrentHashMap;
import java.util.concurrent.atomic.LongAdder;

/// How fast each GET in flight is, compared with others of the same host: one that is far behind is
/// given up, and its rest is fetched over another connection.
///
/// Not two at once for the same bytes: the slower one could then write over what the faster one has had
/// verified.
final class Pace {
    /// A GET is not judged before it has had so long.
    private static final long GRACE_NANOS = 400_000_000;
    /// Slow is what is slower than the median by this factor, and among the slowest five in a hundred.
    private static final double FACTOR = 3;

    private static final int SLOWEST_IN = 20;
    private static final int LEAST_COMPARED = 4;
    private static final int REMEMBERED = 64;
    /// No part is smaller than the first ones by more than this factor, however slow a connection and
    /// near the end.
    private static final int LEAST_PART = 4;

    private final LongAdder bytes = new LongAdder();
    private final Set<PartBody> inFlight = ConcurrentHashMap.newKeySet();
    /// Rates of the last GETs that ended well, by host, bytes a second. Guarded by itself.
    private final Map<String, Deque<Double>> ended = new HashMap<>();

    private long counted;
    private long countedAt = System.nanoTime();
    private volatile double rateOfOne;

    void begin(PartBody body) {
        inFlight.add(body);
    }

    void end(PartBody body, boolean well) {
        inFlight.remove(body);
        if (well) {
            synchronized (ended) {
                Deque<Double> rates = ended.computeIfAbsent(body.host(), _ -> new ArrayDeque<>());
                rates.addLast(body.rate());
                if (rates.size() > REMEMBERED) {
                    rates.removeFirst();
                }
            }
        }
    }

    void count(int arrived) {
        bytes.add(arrived);
    }

    /// @return bytes a second that a connection brings at the median, 0 while that is not known
    double rateOfOne() {
        return rateOfOne;
    }

    /// @return bytes a second since the last call
    double tick() {
        Map<String, List<PartBody>> byHost = new HashMap<>();
        for (PartBody body : inFlight) {
            if (body.ageNanos() > GRACE_NANOS) {
                byHost.computeIfAbsent(body.host(), _ -> new ArrayList<>()).add(body);
            }
        }
        byHost.forEach(this::judge);
        long sum = bytes.sum();
        long now = System.nanoTime();
        double rate = perSecond(sum - counted, now - countedAt);
        counted = sum;
        countedAt = now;
        return rate;
    }

    private void judge(String host, List<PartBody> bodies) {
        List<Double> rates = new ArrayList<>();
        bodies.forEach(body -> rates.add(body.rate()));
        if (rates.size() < LEAST_COMPARED) {
            // The end of a file: what is left in flight is compared with what came before it.
            synchronized (ended) {
                rates.addAll(ended.getOrDefault(host, new ArrayDeque<>()));
            }
        }
        if (rates.size() < LEAST_COMPARED) {
            return;
        }
        double[] sorted =
                rates.stream().mapToDouble(Double::doubleValue).sorted().toArray();
        double median = sorted[sorted.length / 2];
        rateOfOne = median;
        double slowest = sorted[Math.ceilDiv(sorted.length, SLOWEST_IN)];
        for (PartBody body : bodies) {
            double rate = body.rate();
            if (body.isReplaceable() && rate * FACTOR < median && rate < slowest) {
                body.abandon(new TransientFailure(
                        TransientFailure.SLOW,
                        "%d KiB/s, the others have %d".formatted((long) rate >> 10, (long) median >> 10)));
            }
        }
    }

    /// Part sizes follow from the rate: long enough that its request costs little, short enough to share
    /// the end fairly.
    ///
    /// @param remaining bytes of the file that nobody fetches yet
    long partBytes(TransferSettings settings, long remaining, int parallel) {
        double rate = rateOfOne;
        if (rate == 0) {
            return settings.firstPart();
        }
        long target = (long) (rate * settings.partTime().toMillis() / 1e3);
        long share = remaining / (2L * parallel);
        return Math.clamp(Math.min(target, share), settings.firstPart() / LEAST_PART, settings.partSize());
    }

    static double perSecond(long bytes, long nanos) {
        return nanos <= 0 ? 0 : bytes * 1e9 / nanos;
    }
}
