package io.penstock.scheduler.telemetry;

import jdk.jfr.Category;
import jdk.jfr.Description;
import jdk.jfr.Enabled;
import jdk.jfr.Event;
import jdk.jfr.Label;
import jdk.jfr.Name;
import jdk.jfr.StackTrace;
import jdk.jfr.Timespan;

/// A step has been reported by all ranks.
@Name("io.penstock.scheduler.Step")
@Label("Step")
@Category({"Penstock", "Scheduler"})
@Description("A step has been reported by all ranks")
@StackTrace(false)
@Enabled
final class StepEvent extends Event {
    @Label("Group")
    String group;

    @Label("Number")
    long number;

    @Label("Rows")
    int rows;

    @Label("Tokens")
    int tokens;

    @Label("Sent to reported")
    @Timespan(Timespan.NANOSECONDS)
    long inFlight;

    @Label("Compute of the slowest rank")
    @Timespan(Timespan.MICROSECONDS)
    long compute;

    @Label("Wait for peers")
    @Timespan(Timespan.MICROSECONDS)
    long wait;
}
