package io.penstock.gateway.telemetry;

import jdk.jfr.Category;
import jdk.jfr.Event;
import jdk.jfr.Label;
import jdk.jfr.Name;
import jdk.jfr.StackTrace;

/// A request is on its way to the schedulers.
@Name("penstock.gateway.RequestReceived")
@Label("Request received")
@Category({"Penstock", "Gateway"})
@StackTrace(false)
final class RequestReceivedEvent extends Event {
    @Label("Request")
    String request;

    @Label("Model")
    String model;

    @Label("Prompt tokens")
    int promptTokens;

    @Label("Sequences")
    int sequences;
}
