package io.penstock.scheduler.batch;

/// How many tokens a step may compute to take about as long as wished, by how long steps took. So a slow
/// device is given smaller chunks of prompts than a fast one: its running streams do not halt for long,
/// and it is not taken for one that hangs. Owned by whoever has the group; outlives epochs, for the
/// device stays the same.
public final class StepPace {
    /// Fewer do not tell what a token costs: the time is that of reading the weights.
    private static final int TELLING = 16;

    /// Before anything was measured.
    private static final int FIRST = 64;

    private final long target;
    private double nanosPerToken = -1;

    /// @param target nanoseconds
    public StepPace(long target) {
        this.target = target;
    }

    /// A step of `tokens` took so long. The estimate follows quickly: what a token costs depends on the
    /// context's depth, and on how warm the compiler is.
    public void measured(int tokens, long nanos) {
        if (tokens >= TELLING) {
            double now = (double) nanos / tokens;
            nanosPerToken = nanosPerToken < 0 ? now : (nanosPerToken + now) / 2;
        }
    }

    /// @return at least as many as it takes to measure
    int tokens() {
        if (nanosPerToken < 0) {
            return FIRST;
        }
        return (int) Math.clamp(target / Math.max(nanosPerToken, 1), TELLING, Integer.MAX_VALUE);
    }
}
