/// Metrics, spans and flight-recorder events. None holds a token.
package io.penstock.scheduler.telemetry;
