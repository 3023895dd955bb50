/// What can be seen of a rank from outside: metrics, spans, flight-recorder events. None holds a token.
package io.penstock.shard.telemetry;
