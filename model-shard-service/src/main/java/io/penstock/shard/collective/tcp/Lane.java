package io.penstock.shard.collective.tcp;

import java.io.IOException;

/// What a connection is for. A purpose has its own connection, so that none waits behind another's bytes.
enum Lane {
    /// Sums and gathers within a stage, both ways.
    REDUCE(1),
    /// Activations, towards the next stage.
    ACTIVATIONS(2),
    /// Sampled tokens, away from the rank that samples.
    TOKENS(3),
    /// Asks whether the process still answers; closed after the answer.
    PROBE(4);

    /// On the wire.
    final byte code;

    Lane(int code) {
        this.code = (byte) code;
    }

    static Lane of(int code) throws IOException {
        for (Lane lane : values()) {
            if (lane.code == code) {
                return lane;
            }
        }
        throw new IOException("unknown lane " + code);
    }
}
