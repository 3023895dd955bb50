package io.penstock.gateway.openai;

import io.penstock.gateway.fake.TinyGateway;
import java.io.BufferedReader;
import java.io.IOException;
import java.io.InputStreamReader;
import java.io.OutputStream;
import java.net.InetSocketAddress;
import java.net.Socket;
import java.nio.charset.StandardCharsets;

/// The gateway under test, and connections to it that say exactly what they are told to.
final class Gateway {
    private Gateway() {}

    static void awaitReady() {
        awaitReadiness(200);
    }

    static void awaitReadiness(int status) {
        TinyGateway.awaitReadiness(status);
    }

    static String chat(String fields) {
        return "{\"model\":\"tiny\",\"messages\":[{\"role\":\"user\",\"content\":\"hi\"}]%s}".formatted(fields);
    }

    /// Of the model whose answers may go on for as long as a test lasts.
    static String wideChat(String fields) {
        return chat(fields).replace("tiny", "wide");
    }

    /// @param receiveBuffer bytes; 0: the system's choice
    static Socket connect(int port, int receiveBuffer) throws IOException {
        Socket socket = new Socket();
        if (receiveBuffer > 0) {
            socket.setReceiveBufferSize(receiveBuffer);
        }
        socket.setSoTimeout(20_000);
        socket.connect(new InetSocketAddress("localhost", port));
        return socket;
    }

    static void send(Socket socket, String text) throws IOException {
        socket.getOutputStream().write(text.getBytes(StandardCharsets.ISO_8859_1));
    }

    /// @return all that comes until the other side closes
    static String rest(Socket socket) throws IOException {
        return new String(socket.getInputStream().readAllBytes(), StandardCharsets.UTF_8);
    }

    /// Of a connection for this request alone.
    ///
    /// @return as [#rest]
    static String answer(String request) throws IOException {
        try (Socket socket = connect(TinyGateway.port(), 0)) {
            send(socket, request);
            return rest(socket);
        }
    }

    static void post(Socket socket, String path, byte[] body) throws IOException {
        OutputStream out = socket.getOutputStream();
        out.write(("POST " + path
                        + " HTTP/1.1\r\nhost: localhost\r\ncontent-type: application/json\r\nauthorization: Bearer "
                        + TinyGateway.KEY + "\r\ncontent-length: "
                        + body.length + "\r\n\r\n")
                .getBytes(StandardCharsets.US_ASCII));
        out.write(body);
        out.flush();
    }

    static void post(Socket socket, String path, String body) throws IOException {
        post(socket, path, body.getBytes(StandardCharsets.UTF_8));
    }

    static BufferedReader lines(Socket socket) throws IOException {
        return new BufferedReader(new InputStreamReader(socket.getInputStream(), StandardCharsets.UTF_8));
    }

    /// @return the first line that contains `part`
    static String readUntil(BufferedReader lines, String part) throws IOException {
        StringBuilder seen = new StringBuilder();
        for (String line = lines.readLine(); line != null; line = lines.readLine()) {
            if (line.contains(part)) {
                return line;
            }
            seen.append(line).append('\n');
        }
        throw new AssertionError("'%s' did not come, but: %s".formatted(part, seen));
    }
}
