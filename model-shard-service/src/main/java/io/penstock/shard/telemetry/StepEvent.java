package io.penstock.shard.telemetry;

import jdk.jfr.Category;
import jdk.jfr.Description;
import jdk.jfr.Enabled;
import jdk.jfr.Event;
import jdk.jfr.Label;
import jdk.jfr.Name;
import jdk.jfr.StackTrace;
import jdk.jfr.Timespan;

/// This rank has done a step.
@Name("io.penstock.shard.Step")
@Label("Step")
@Category({"Penstock", "Shard"})
@Description("This rank has done a step")
@StackTrace(false)
@Enabled
final class StepEvent extends Event {
    @Label("Number")
    long number;

    @Label("Rows")
    int rows;

    @Label("Tokens")
    int tokens;

    @Label("Sampled")
    int sampled;

    @Label("Compute")
    @Timespan(Timespan.NANOSECONDS)
    long compute;

    @Label("Wait for peers")
    @Timespan(Timespan.NANOSECONDS)
    long wait;
}
