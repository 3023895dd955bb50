package io.penstock.api;

import java.io.ByteArrayOutputStream;
import java.io.Closeable;
import java.io.DataInputStream;
import java.io.DataOutputStream;
import java.io.EOFException;
import java.io.IOException;
import java.net.Socket;
import java.net.SocketException;
import java.nio.charset.StandardCharsets;

/// A client of HTTP/2 that says frame by frame what it is told to (RFC 9113).
public final class RawHttp2 implements Closeable {
    public static final int DATA = 0;
    public static final int HEADERS = 1;
    public static final int RST_STREAM = 3;
    public static final int SETTINGS = 4;
    public static final int PING = 6;
    public static final int GOAWAY = 7;
    public static final int CONTINUATION = 9;

    public static final int ACK = 1;
    public static final int END_STREAM = 1;
    public static final int END_HEADERS = 4;

    private static final byte[] PREFACE = "PRI * HTTP/2.0\r\n\r\nSM\r\n\r\n".getBytes(StandardCharsets.US_ASCII);
    private static final int HEADER_BYTES = 9;

    private final Socket socket;
    private final DataInputStream in;

    /// @param flags of the frame
    public record Frame(int type, int flags, int stream, byte[] payload) {}

    /// Sends the preface and empty settings.
    ///
    /// @param socket connected, and about to speak HTTP/2; closed with this
    public RawHttp2(Socket socket) throws IOException {
        this.socket = socket;
        socket.setSoTimeout(20_000);
        in = new DataInputStream(socket.getInputStream());
        send(PREFACE);
        send(frame(SETTINGS, 0, 0, new byte[0]));
    }

    public void send(byte[] bytes) throws IOException {
        socket.getOutputStream().write(bytes);
    }

    public static byte[] frame(int type, int flags, int stream, byte[] payload) throws IOException {
        ByteArrayOutputStream bytes = new ByteArrayOutputStream(HEADER_BYTES + payload.length);
        DataOutputStream out = new DataOutputStream(bytes);
        out.writeByte(payload.length >> 16);
        out.writeShort(payload.length);
        out.writeByte(type);
        out.writeByte(flags);
        out.writeInt(stream);
        out.write(payload);
        return bytes.toByteArray();
    }

    /// Literals that are not indexed, without Huffman coding (RFC 7541, 6.2.2).
    ///
    /// @param fields names and values in turn, each shorter than 127 bytes
    public static byte[] headers(String... fields) {
        ByteArrayOutputStream block = new ByteArrayOutputStream();
        for (int i = 0; i < fields.length; i += 2) {
            block.write(0);
            for (String text : new String[] {fields[i], fields[i + 1]}) {
                byte[] bytes = text.getBytes(StandardCharsets.US_ASCII);
                block.write(bytes.length);
                block.writeBytes(bytes);
            }
        }
        return block.toByteArray();
    }

    /// @throws EOFException if the server has closed the connection
    public Frame read() throws IOException {
        try {
            int length = in.readUnsignedByte() << 16 | in.readUnsignedShort();
            int type = in.readUnsignedByte();
            int flags = in.readUnsignedByte();
            int stream = in.readInt();
            return new Frame(type, flags, stream, in.readNBytes(length));
        } catch (SocketException reset) {
            throw (EOFException) new EOFException("reset").initCause(reset);
        }
    }

    /// Whether the server answers a ping, rather than to say goodbye or nothing.
    public boolean answersPing() throws IOException {
        try {
            send(frame(PING, 0, 0, new byte[8]));
            while (true) {
                Frame frame = read();
                if (frame.type() == PING && (frame.flags() & ACK) != 0) {
                    return true;
                }
                if (frame.type() == GOAWAY) {
                    return false;
                }
            }
        } catch (EOFException | SocketException closed) {
            return false;
        }
    }

    /// Reads until the server closes the connection.
    public void readToEnd() throws IOException {
        try {
            while (true) {
                read();
            }
        } catch (EOFException closed) {
            // As it should be.
        }
    }

    @Override
    public void close() throws IOException {
        socket.close();
    }
}
