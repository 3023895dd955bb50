package io.penstock.gateway.openai;

import io.penstock.gateway.fake.TinyGateway;
import java.io.BufferedInputStream;
import java.io.ByteArrayOutputStream;
import java.io.EOFException;
import java.io.IOException;
import java.io.InputStream;
import java.net.Socket;
import java.nio.charset.StandardCharsets;
import java.util.HashMap;
import java.util.Locale;
import java.util.Map;

/// A connection on which one request follows another. It takes nothing on trust: an answer ends where HTTP says so, and
/// a connection that closes otherwise is an error.
final class KeptConnection implements AutoCloseable {
    private final Socket socket;
    private final InputStream in;

    /// @param headers names in lower case
    record Received(int status, Map<String, String> headers, String body) {
        /// Whether the other side said that it would close.
        boolean isLast() {
            return "close".equalsIgnoreCase(headers.get("connection"));
        }
    }

    KeptConnection(int port) throws IOException {
        socket = Gateway.connect(port, 0);
        socket.setTcpNoDelay(true);
        in = new BufferedInputStream(socket.getInputStream());
    }

    /// @param body null: none
    void send(String method, String path, String extraHeaders, String body) throws IOException {
        StringBuilder request = new StringBuilder(method)
                .append(' ')
                .append(path)
                .append(" HTTP/1.1\r\nhost: localhost\r\nauthorization: Bearer ")
                .append(TinyGateway.KEY)
                .append("\r\n")
                .append(extraHeaders);
        if (body != null) {
            request.append("content-type: application/json\r\ncontent-length: ")
                    .append(body.getBytes(StandardCharsets.UTF_8).length)
                    .append("\r\n");
        }
        request.append("\r\n").append(body == null ? "" : body);
        send(request.toString());
    }

    void send(String text) throws IOException {
        socket.getOutputStream().write(text.getBytes(StandardCharsets.UTF_8));
    }

    /// @throws EOFException if the connection is closed before the end of an answer
    Received read() throws IOException {
        String first = line();
        Map<String, String> headers = new HashMap<>();
        for (String line = line(); !line.isEmpty(); line = line()) {
            int colon = line.indexOf(':');
            headers.put(
                    line.substring(0, colon).toLowerCase(Locale.ROOT),
                    line.substring(colon + 1).strip());
        }
        ByteArrayOutputStream body = new ByteArrayOutputStream();
        if ("chunked".equalsIgnoreCase(headers.get("transfer-encoding"))) {
            for (int length = chunkLength(); length > 0; length = chunkLength()) {
                body.write(bytes(length));
                line();
            }
            line();
        } else {
            body.write(bytes(Integer.parseInt(headers.getOrDefault("content-length", "0"))));
        }
        return new Received(Integer.parseInt(first.split(" ", -1)[1]), headers, body.toString(StandardCharsets.UTF_8));
    }

    private int chunkLength() throws IOException {
        return Integer.parseInt(line(), 16);
    }

    private byte[] bytes(int count) throws IOException {
        byte[] bytes = in.readNBytes(count);
        if (bytes.length < count) {
            throw new EOFException("closed after %d of %d bytes".formatted(bytes.length, count));
        }
        return bytes;
    }

    private String line() throws IOException {
        StringBuilder line = new StringBuilder();
        for (int b = in.read(); b != '\n'; b = in.read()) {
            if (b < 0) {
                throw new EOFException("closed after '" + line + "'");
            }
            if (b != '\r') {
                line.append((char) b);
            }
        }
        return line.toString();
    }

    /// @return whether the other side closes, and says nothing more
    boolean closes() throws IOException {
        return in.read() < 0;
    }

    @Override
    public void close() throws IOException {
        socket.close();
    }
}
