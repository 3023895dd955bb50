package io.penstock.shard.collective.tcp;

import java.io.DataInputStream;
import java.io.IOException;
import java.io.InputStream;
import java.nio.ByteBuffer;
import java.nio.charset.StandardCharsets;

/// First bytes of a connection, from the rank that dialled. The one that accepts answers [#ACCEPTED] once it
/// is in the same epoch, however long that takes, or closes.
///
/// Layout, big-endian: magic (8), epoch (8), lane (1), then the instances of both as length (1) and ASCII.
///
/// @param from instance that dialled
/// @param to instance it means to reach
record Handshake(long epoch, Lane lane, String from, String to) {
    static final byte ACCEPTED = 1;
    static final int MAX_INSTANCE_LENGTH = 64;
    // "penstck" and the version.
    private static final long MAGIC = 0x70656e7374636b01L;

    Handshake {
        if (!fits(from) || !fits(to)) {
            throw new IllegalArgumentException("instances must be 1 to 64 printable ASCII characters");
        }
    }

    private static boolean fits(String instance) {
        return !instance.isEmpty()
                && instance.length() <= MAX_INSTANCE_LENGTH
                && instance.chars().allMatch(c -> c > ' ' && c < 127);
    }

    byte[] encoded() {
        byte[] encoded = new byte[8 + 8 + 1 + 1 + from.length() + 1 + to.length()];
        ByteBuffer bytes = ByteBuffer.wrap(encoded);
        bytes.putLong(MAGIC).putLong(epoch).put(lane.code);
        bytes.put((byte) from.length()).put(from.getBytes(StandardCharsets.US_ASCII));
        bytes.put((byte) to.length()).put(to.getBytes(StandardCharsets.US_ASCII));
        return encoded;
    }

    /// Reads exactly one handshake.
    ///
    /// @throws IOException if these are not the bytes of one
    static Handshake read(InputStream stream) throws IOException {
        DataInputStream in = new DataInputStream(stream);
        long magic = in.readLong();
        if (magic != MAGIC) {
            throw new IOException("not a peer of this version: starts with %016x".formatted(magic));
        }
        long epoch = in.readLong();
        Lane lane = Lane.of(in.readUnsignedByte());
        String from = instance(in);
        String to = instance(in);
        try {
            return new Handshake(epoch, lane, from, to);
        } catch (IllegalArgumentException e) {
            throw new IOException(e.getMessage(), e);
        }
    }

    private static String instance(DataInputStream in) throws IOException {
        int length = in.readUnsignedByte();
        if (length > MAX_INSTANCE_LENGTH) {
            throw new IOException("instance of %d characters".formatted(length));
        }
        byte[] bytes = new byte[length];
        in.readFully(bytes);
        return new String(bytes, StandardCharsets.US_ASCII);
    }
}
