package io.penstock.cli.system;

import static org.assertj.core.api.Assertions.assertThat;

import com.fasterxml.jackson.databind.node.ObjectNode;
import java.io.IOException;
import java.net.InetSocketAddress;
import java.net.Socket;
import java.net.URI;
import java.nio.charset.StandardCharsets;
import java.util.concurrent.CountDownLatch;
import java.util.concurrent.TimeUnit;

/// A client that asks for a long streamed chat over a connection with hardly any room, and reads a byte
/// of it each second.
final class SlowReader {
    private static final int RECEIVE_BUFFER = 4 << 10;

    private final Socket socket = new Socket();
    private final CountDownLatch closing = new CountDownLatch(1);
    private final Thread reading;
    private final StringBuilder read = new StringBuilder();
    private volatile Exception failure;

    SlowReader(URI gateway, ObjectNode chat) throws IOException {
        socket.setReceiveBufferSize(RECEIVE_BUFFER);
        socket.connect(new InetSocketAddress(gateway.getHost(), gateway.getPort()));
        byte[] body = chat.deepCopy()
                .put("stream", true)
                // Much to send a token, so that it stands still soon.
                .put("logprobs", true)
                .put("top_logprobs", 20)
                .toString()
                .getBytes(StandardCharsets.UTF_8);
        socket.getOutputStream()
                .write(("POST /v1/chat/completions HTTP/1.1\r\nhost: localhost\r\ncontent-type: application/json\r\n"
                                + "content-length: " + body.length + "\r\n\r\n")
                        .getBytes(StandardCharsets.US_ASCII));
        socket.getOutputStream().write(body);
        reading = Thread.ofVirtual().start(this::readSlowly);
    }

    private void readSlowly() {
        try {
            do {
                int next = socket.getInputStream().read();
                if (next < 0) {
                    throw new IOException("the answer ended: " + read);
                }
                read.append((char) next);
            } while (!closing.await(1, TimeUnit.SECONDS));
        } catch (IOException | InterruptedException e) {
            failure = e;
        }
    }

    /// Closes the connection.
    ///
    /// @throws AssertionError unless it was being answered until now
    void leave() throws IOException, InterruptedException {
        closing.countDown();
        reading.join();
        socket.close();
        assertThat(failure).isNull();
        assertThat("HTTP/1.1 200 OK").startsWith(read.toString().split("\r", 2)[0]);
    }
}
