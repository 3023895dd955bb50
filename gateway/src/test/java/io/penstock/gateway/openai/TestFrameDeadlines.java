package io.penstock.gateway.openai;

import static org.assertj.core.api.Assertions.assertThat;

import io.penstock.api.RawHttp2;
import io.penstock.api.RawHttp2.Frame;
import io.penstock.gateway.fake.Certificate;
import io.penstock.gateway.fake.FakeSchedulers;
import io.penstock.gateway.fake.Script;
import io.penstock.gateway.fake.TinyGateway;
import io.quarkus.test.common.http.TestHTTPResource;
import io.quarkus.test.junit.QuarkusTest;
import io.quarkus.test.junit.TestProfile;
import java.io.IOException;
import java.io.UncheckedIOException;
import java.net.Socket;
import java.net.SocketTimeoutException;
import java.net.URI;
import java.nio.charset.StandardCharsets;
import java.util.Arrays;
import java.util.concurrent.TimeUnit;
import javax.net.ssl.SSLParameters;
import javax.net.ssl.SSLSocket;
import org.junit.jupiter.api.BeforeEach;
import org.junit.jupiter.api.Test;

/// HTTP/2 connections that begin something and do not end it. Each would stand for ever; there is no
/// bound on how many somebody opens.
@QuarkusTest
@TestProfile(TinyGateway.class)
class TestFrameDeadlines {
    private static final byte[] GET = RawHttp2.headers(
            ":method",
            "GET",
            ":scheme",
            "http",
            ":path",
            "/v1/models",
            ":authority",
            "localhost",
            "authorization",
            "Bearer " + TinyGateway.KEY);

    @TestHTTPResource(value = "/v1/models", tls = true)
    URI encrypted;

    @BeforeEach
    void ready() {
        Gateway.awaitReady();
        FakeSchedulers.first().plays(Script.saying("a"));
    }

    private static RawHttp2 connect() throws IOException {
        return new RawHttp2(Gateway.connect(TinyGateway.port(), 0));
    }

    private static byte[] request(int stream) throws IOException {
        return RawHttp2.frame(RawHttp2.HEADERS, RawHttp2.END_HEADERS | RawHttp2.END_STREAM, stream, GET);
    }

    private static void assertServed(RawHttp2 client, int stream) throws IOException {
        client.send(request(stream));
        StringBuilder body = new StringBuilder();
        Frame frame;
        do {
            frame = client.read();
            if (frame.type() == RawHttp2.DATA && frame.stream() == stream) {
                body.append(new String(frame.payload(), StandardCharsets.UTF_8));
            }
        } while (frame.stream() != stream || (frame.flags() & RawHttp2.END_STREAM) == 0);
        assertThat(body.toString()).startsWith("{\"object\":\"list\"");
    }

    @Test
    void whoNeverComesToARequest() throws IOException {
        try (RawHttp2 silent = connect()) {
            silent.readToEnd();
        }
        // Not even by other frames, without end.
        try (RawHttp2 pinging = connect()) {
            long patience = System.nanoTime() + TimeUnit.SECONDS.toNanos(20);
            while (pinging.answersPing()) {
                assertThat(System.nanoTime()).isLessThan(patience);
            }
        }
        try (RawHttp2 half = connect()) {
            half.send(Arrays.copyOf(request(1), 30));
            half.readToEnd();
        }
    }

    /// An idle connection between requests is no such thing, however long it has stood.
    @Test
    void whoBeginsAFrameLater() throws IOException {
        try (RawHttp2 idle = connect();
                RawHttp2 halfFrame = connect();
                RawHttp2 halfHeader = connect();
                RawHttp2 halfBlock = connect()) {
            for (RawHttp2 client : new RawHttp2[] {idle, halfFrame, halfHeader, halfBlock}) {
                assertServed(client, 1);
            }
            halfFrame.send(Arrays.copyOf(request(3), 30));
            halfHeader.send(new byte[] {0});
            halfBlock.send(RawHttp2.frame(RawHttp2.HEADERS, RawHttp2.END_STREAM, 3, GET));
            halfFrame.readToEnd();
            halfHeader.readToEnd();
            halfBlock.readToEnd();
            assertServed(idle, 3);
        }
    }

    /// Each read brings the end of one frame and the beginning of the next.
    @Test
    void whoIsAlwaysHalfwayAndGoesOn() throws IOException {
        try (RawHttp2 silent = connect();
                RawHttp2 busy = connect()) {
            byte[] ping = RawHttp2.frame(RawHttp2.PING, 0, 0, new byte[8]);
            byte[] shifted = new byte[ping.length];
            int half = ping.length / 2;
            System.arraycopy(ping, half, shifted, 0, ping.length - half);
            System.arraycopy(ping, 0, shifted, ping.length - half, half);
            busy.send(request(1));
            busy.send(Arrays.copyOf(ping, half));
            // As long as the other has for its first request, and it began before.
            Thread other = Thread.ofVirtual().start(() -> {
                try {
                    silent.readToEnd();
                } catch (IOException e) {
                    throw new UncheckedIOException(e);
                }
            });
            while (other.isAlive()) {
                busy.send(shifted);
                while (busy.read().type() != RawHttp2.PING) {
                    // What the server says of its own.
                }
            }
            busy.send(Arrays.copyOfRange(ping, half, ping.length));
            assertServed(busy, 3);
        }
    }

    @Test
    void aByteAtATime() throws IOException {
        Socket socket = Gateway.connect(TinyGateway.port(), 0);
        try (RawHttp2 client = new RawHttp2(socket)) {
            assertServed(client, 1);
            client.send(RawHttp2.frame(RawHttp2.HEADERS, RawHttp2.END_STREAM, 3, GET));
            client.send(Arrays.copyOf(RawHttp2.frame(RawHttp2.CONTINUATION, 0, 3, new byte[16_000]), 9));
            socket.setSoTimeout(50);
            boolean closed = false;
            while (!closed) {
                try {
                    client.readToEnd();
                    closed = true;
                } catch (SocketTimeoutException e) {
                    client.send(new byte[1]);
                }
            }
        }
    }

    @Test
    void overTls() throws IOException {
        SSLSocket socket = (SSLSocket) Certificate.context()
                .getSocketFactory()
                .createSocket(Gateway.connect(encrypted.getPort(), 0), "localhost", encrypted.getPort(), true);
        SSLParameters parameters = socket.getSSLParameters();
        parameters.setApplicationProtocols(new String[] {"h2"});
        socket.setSSLParameters(parameters);
        try (RawHttp2 client = new RawHttp2(socket)) {
            client.send(Arrays.copyOf(request(1), 30));
            client.readToEnd();
        }
    }

    /// A connection that came to HTTP/2 by way of HTTP/1.
    @Test
    void afterAnUpgrade() throws IOException {
        try (Socket socket = Gateway.connect(TinyGateway.port(), 0)) {
            socket.getOutputStream()
                    .write(("GET /v1/models HTTP/1.1\r\nhost: a\r\nauthorization: Bearer " + TinyGateway.KEY
                                    + "\r\nconnection: Upgrade, HTTP2-Settings\r\nupgrade: h2c\r\nhttp2-settings: \r\n\r\n")
                            .getBytes(StandardCharsets.US_ASCII));
            StringBuilder head = new StringBuilder();
            while (!head.toString().endsWith("\r\n\r\n")) {
                head.append((char) socket.getInputStream().read());
            }
            assertThat(head).startsWith("HTTP/1.1 101");
            RawHttp2 client = new RawHttp2(socket);
            assertServed(client, 3);
            client.send(Arrays.copyOf(request(5), 30));
            client.readToEnd();
        }
    }
}
