package io.penstock.scheduler.group;

import io.penstock.scheduler.config.SchedulerConfig;

/// The scheduler's settings as a group uses them; times in nanoseconds.
public record GroupLimits(
        int blockSize,
        int maxStepTokens,
        int maxSequences,
        int queueCapacity,
        int stepsInFlight,
        long targetStepTime,
        long stepTimeout,
        long collectiveTimeout,
        long loadTimeout,
        int maxStepFailures) {
    /// Slots are small, but each takes sampling memory on every rank.
    private static final int MOST_SEQUENCES = 65_536;

    public GroupLimits {
        within("block-size", blockSize, 1, 4_096);
        within("max-step-tokens", maxStepTokens, 1, 1 << 20);
        within("max-sequences", maxSequences, 1, MOST_SEQUENCES);
        within("queue-capacity", queueCapacity, 1, 1 << 20);
        within("steps-in-flight", stepsInFlight, 1, 16);
        within("target-step-time", targetStepTime, 1_000_000, Long.MAX_VALUE / 4);
        within("step-timeout", stepTimeout, 1, Long.MAX_VALUE / 4);
        within("collective-timeout", collectiveTimeout, 1_000_000, Integer.MAX_VALUE * 1_000_000L);
        within("load-timeout", loadTimeout, 1, Long.MAX_VALUE / 4);
        within("max-step-failures", maxStepFailures, 1, 1_000);
    }

    public static GroupLimits of(SchedulerConfig config) {
        return new GroupLimits(
                config.blockSize(),
                config.maxStepTokens(),
                config.maxSequences(),
                config.queueCapacity(),
                config.stepsInFlight(),
                config.targetStepTime().toNanos(),
                config.stepTimeout().toNanos(),
                config.collectiveTimeout().toNanos(),
                config.loadTimeout().toNanos(),
                config.maxStepFailures());
    }

    private static void within(String key, long value, long least, long most) {
        if (value < least || value > most) {
            throw new IllegalArgumentException(
                    "penstock.scheduler.%s is %d, must lie in [%d, %d]".formatted(key, value, least, most));
        }
    }
}
