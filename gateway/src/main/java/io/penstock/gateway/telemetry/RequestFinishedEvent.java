package io.penstock.gateway.telemetry;

import jdk.jfr.Category;
import jdk.jfr.Event;
import jdk.jfr.Label;
import jdk.jfr.Name;
import jdk.jfr.StackTrace;
import jdk.jfr.Timespan;

/// A request has ended, one way or another.
@Name("penstock.gateway.RequestFinished")
@Label("Request finished")
@Category({"Penstock", "Gateway"})
@StackTrace(false)
final class RequestFinishedEvent extends Event {
    @Label("Request")
    String request;

    /// `stop`, `length`, `abort`, or the name of an error category.
    @Label("Outcome")
    String outcome;

    @Label("Tokens")
    int tokens;

    @Label("Since arrival")
    @Timespan(Timespan.NANOSECONDS)
    long sinceArrival;
}
