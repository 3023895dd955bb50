package io.penstock.scheduler.telemetry;

import jdk.jfr.Category;
import jdk.jfr.Description;
import jdk.jfr.Enabled;
import jdk.jfr.Event;
import jdk.jfr.Label;
import jdk.jfr.Name;
import jdk.jfr.StackTrace;

/// A sequence has reached a stage of its life: queued, scheduled, first token, preempted, finished,
/// failed.
@Name("io.penstock.scheduler.Sequence")
@Label("Sequence")
@Category({"Penstock", "Scheduler"})
@Description("A sequence has reached a stage of its life")
@StackTrace(false)
@Enabled
final class SequenceEvent extends Event {
    @Label("Request id")
    String requestId;

    @Label("Stage")
    String stage;

    @Label("Prompt tokens")
    int promptTokens;

    @Label("Generated tokens")
    int generatedTokens;

    @Label("Reason")
    String reason;
}
