package io.penstock.scheduler.telemetry;

import io.penstock.model.ErrorCategory;
import io.penstock.scheduler.batch.Sequence;
import io.penstock.scheduler.batch.StepRecord;

/// What happens in a group, for whoever measures. Called by the thread that has the group; times are nanoseconds
/// on the scheduler's clock. No method is told a token's value.
public interface SchedulingEvents {
    default void queued(Sequence sequence, long now) {}

    /// @param gap since the sequence's token before; -1 for its first
    default void token(Sequence sequence, long gap, long now) {}

    default void preempted(Sequence sequence) {}

    /// @param reason "stop" or "length"
    default void finished(Sequence sequence, String reason, long now) {}

    /// @param category null where the client went away
    default void failed(Sequence sequence, ErrorCategory category, long now) {}

    /// Before the step goes out, with the sequences that begin in it; may give it a span by
    /// [StepRecord#traced].
    default void stepPlanned(StepRecord step, long now) {}

    default void stepReported(StepRecord step, long now) {}

    /// The group's epoch ended with this step in flight.
    default void stepLost(StepRecord step) {}

    /// Where nothing is measured.
    SchedulingEvents NONE = new SchedulingEvents() {};
}
