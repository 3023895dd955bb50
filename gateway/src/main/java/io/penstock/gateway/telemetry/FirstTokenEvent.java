package io.penstock.gateway.telemetry;

import jdk.jfr.Category;
import jdk.jfr.Event;
import jdk.jfr.Label;
import jdk.jfr.Name;
import jdk.jfr.StackTrace;
import jdk.jfr.Timespan;

/// The first token of a request has come.
@Name("penstock.gateway.FirstToken")
@Label("First token")
@Category({"Penstock", "Gateway"})
@StackTrace(false)
final class FirstTokenEvent extends Event {
    @Label("Request")
    String request;

    @Label("Since arrival")
    @Timespan(Timespan.NANOSECONDS)
    long sinceArrival;
}
