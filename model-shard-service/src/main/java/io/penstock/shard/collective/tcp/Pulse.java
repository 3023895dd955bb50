package io.penstock.shard.collective.tcp;

import java.io.IOException;
import java.io.OutputStream;
import java.net.InetSocketAddress;
import java.net.Socket;
import java.time.Duration;

/// Tells a peer that computes for long from one that is gone without a word. A step may take longer than any
/// deadline fit for a dead peer: a long prompt, a machine under load, code not compiled yet. So a peer that
/// is silent past the deadline is asked, on a connection of its own, whether its process still answers; one
/// that was stopped, or whose machine is gone, does not. A process that answers but never gets on is the
/// scheduler's to find.
final class Pulse {
    private static final int LONGEST_WAIT_MILLIS = 2_000;

    private final String self;
    private final long epoch;
    private final int waitMillis;

    /// @param self instance of this process
    Pulse(String self, long epoch, Duration timeout) {
        this.self = self;
        this.epoch = epoch;
        waitMillis = Math.clamp(timeout.toMillis(), 1, LONGEST_WAIT_MILLIS);
    }

    /// Asks, and waits for the answer.
    boolean felt(PeerAddress peer) {
        try (Socket socket = new Socket()) {
            socket.setTcpNoDelay(true);
            socket.setSoTimeout(waitMillis);
            socket.connect(new InetSocketAddress(peer.host(), peer.port()), waitMillis);
            OutputStream out = socket.getOutputStream();
            out.write(new Handshake(epoch, Lane.PROBE, self, peer.instance()).encoded());
            return socket.getInputStream().read() == Handshake.ACCEPTED;
        } catch (IOException e) {
            return false;
        }
    }
}
