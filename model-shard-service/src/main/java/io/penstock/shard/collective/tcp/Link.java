package io.penstock.shard.collective.tcp;

import io.penstock.shard.collective.PeerException;
import java.io.IOException;
import java.net.StandardSocketOptions;
import java.nio.ByteBuffer;
import java.nio.ByteOrder;
import java.nio.FloatBuffer;
import java.nio.channels.SelectionKey;
import java.nio.channels.Selector;
import java.nio.channels.SocketChannel;

/// One connection to one peer, non-blocking, carrying frames of at most [#MAX_PAYLOAD] bytes: payload length
/// (4), number of the frame on this link (4), payload; little-endian. Both numbers are checked, so ranks
/// that have fallen out of step fail at once instead of adding up the wrong things.
///
/// One thread sends and one receives; they may be the same.
final class Link {
    static final int MAX_PAYLOAD = 128 << 10;
    static final int MAX_FLOATS = MAX_PAYLOAD / Float.BYTES;
    private static final int HEADER = 8;

    final PeerAddress peer;
    final SocketChannel channel;
    private final ByteBuffer out = buffer();
    private final FloatBuffer outFloats =
            out.slice(HEADER, MAX_PAYLOAD).order(ByteOrder.LITTLE_ENDIAN).asFloatBuffer();
    private final ByteBuffer in = buffer();
    private final FloatBuffer inFloats =
            in.slice(HEADER, MAX_PAYLOAD).order(ByteOrder.LITTLE_ENDIAN).asFloatBuffer();
    private int sentFrames;
    private int receivedFrames;
    private boolean complete;
    // Of the thread that waits for this link.
    private SelectionKey key;

    Link(PeerAddress peer, SocketChannel channel) throws IOException {
        this.peer = peer;
        this.channel = channel;
        channel.configureBlocking(false);
        channel.setOption(StandardSocketOptions.TCP_NODELAY, true);
        out.limit(0);
    }

    static ByteBuffer buffer() {
        return ByteBuffer.allocateDirect(HEADER + MAX_PAYLOAD).order(ByteOrder.LITTLE_ENDIAN);
    }

    void register(Selector selector) throws IOException {
        key = channel.register(selector, 0);
    }

    /// Takes effect at the next select, and costs nothing where it is so already.
    void interest(int operations) {
        if (key.interestOps() != operations) {
            key.interestOps(operations);
        }
    }

    /// Prepares a frame of floats for [#write].
    void stage(float[] values, int offset, int count) {
        outFloats.put(0, values, offset, count);
        seal(count * Float.BYTES);
    }

    /// The payload to fill before [#seal], from position 0.
    ByteBuffer payload() {
        return out.clear().position(HEADER);
    }

    void seal(int bytes) {
        out.clear().limit(HEADER + bytes);
        out.putInt(0, bytes).putInt(4, sentFrames++);
    }

    boolean written() {
        return !out.hasRemaining();
    }

    /// @return whether any byte was taken
    boolean write() {
        try {
            return channel.write(out) > 0;
        } catch (IOException e) {
            throw lost(e);
        }
    }

    /// What is left to write, for another thread to do so.
    ByteBuffer unwritten() {
        return out;
    }

    /// Begins to receive a frame.
    ///
    /// @param bytes of its payload, or -1: as many as its header says
    void expect(int bytes) {
        in.clear().limit(HEADER + Math.max(bytes, 0));
        complete = false;
    }

    /// @param bytes as for [#expect]
    /// @param most the longest payload to accept
    /// @return whether the frame is here, whole and the one expected
    boolean received(int bytes, int most) {
        if (complete) {
            return true;
        }
        if (in.position() < HEADER) {
            return false;
        }
        int length = in.getInt(0);
        int number = in.getInt(4);
        if (number != receivedFrames || (bytes >= 0 ? length != bytes : length < 0 || length > most)) {
            throw new PeerException(
                    peer.tpRank(),
                    peer.ppStage(),
                    "is out of step: sent %d bytes as frame %d, expected %d as frame %d"
                            .formatted(length, number, bytes >= 0 ? bytes : most, receivedFrames),
                    null);
        }
        in.limit(HEADER + length);
        if (in.hasRemaining()) {
            return false;
        }
        complete = true;
        receivedFrames++;
        return true;
    }

    /// @return whether any byte came
    boolean read() {
        try {
            int bytes = channel.read(in);
            if (bytes < 0) {
                throw new PeerException(peer.tpRank(), peer.ppStage(), "closed its connection", null);
            }
            return bytes > 0;
        } catch (IOException e) {
            throw lost(e);
        }
    }

    /// The payload of the frame received, from position 0 of the result.
    ByteBuffer frame() {
        return in.flip().position(HEADER);
    }

    void unload(float[] values, int offset, int count) {
        inFloats.get(0, values, offset, count);
    }

    PeerException lost(Exception cause) {
        return new PeerException(peer.tpRank(), peer.ppStage(), "is gone: " + cause.getMessage(), cause);
    }
}
