package io.penstock.bench.load;

import static org.assertj.core.api.Assertions.assertThat;
import static org.assertj.core.api.Assertions.assertThatThrownBy;

import com.sun.net.httpserver.HttpServer;
import java.io.IOException;
import java.io.OutputStream;
import java.net.InetAddress;
import java.net.InetSocketAddress;
import java.net.URI;
import java.nio.charset.StandardCharsets;
import java.util.Set;
import java.util.concurrent.ConcurrentHashMap;
import org.junit.jupiter.api.AfterEach;
import org.junit.jupiter.api.BeforeEach;
import org.junit.jupiter.api.Test;

/// A load generator that makes faults of its own reports them as the server's.
class TestStreamedChat {
    private static final String TOKEN =
            "data: {\"choices\":[{\"delta\":{\"content\":\"a\"},\"finish_reason\":null}]}\n\n";
    private static final String END = """
            data: {"choices":[{"delta":{},"finish_reason":"stop"}]}

            data: {"choices":[],"usage":{"completion_tokens":1}}

            """;
    private static final String DONE = "data: [DONE]\n\n";

    private final Set<InetSocketAddress> connections = ConcurrentHashMap.newKeySet();
    private volatile String[] pieces = {};
    private HttpServer server;

    @BeforeEach
    void start() throws IOException {
        server = HttpServer.create(new InetSocketAddress(InetAddress.getLoopbackAddress(), 0), 0);
        server.createContext("/", exchange -> {
            connections.add(exchange.getRemoteAddress());
            exchange.getRequestBody().readAllBytes();
            exchange.sendResponseHeaders(200, 0);
            try (OutputStream out = exchange.getResponseBody()) {
                for (String piece : pieces) {
                    out.write(piece.getBytes(StandardCharsets.UTF_8));
                    out.flush();
                }
            }
        });
        server.start();
    }

    @AfterEach
    void stop() {
        server.stop(0);
    }

    private StreamedChat.Result ask() throws StreamedChat.WrongStream {
        URI url = URI.create("http://localhost:" + server.getAddress().getPort());
        return new StreamedChat(url, "tiny", false).ask("hi", 4);
    }

    @Test
    void anAnswerIsReadToTheEndOfItsBody() throws Exception {
        // Many small pieces, so that the end of the body comes behind what says that it is done.
        pieces = new String[] {TOKEN, END, DONE, "\n", "\n", "\n", "\n"};
        for (int i = 0; i < 40; i++) {
            assertThat(ask().text()).isEqualTo("a");
        }
        assertThat(connections)
                .as("connections of one client, one chat after another")
                .hasSize(1);
    }

    @Test
    void whatFollowsTheEndIsAFault() {
        pieces = new String[] {TOKEN, END, DONE, TOKEN};
        assertThatThrownBy(this::ask)
                .isInstanceOf(StreamedChat.WrongStream.class)
                .hasMessageContaining("after [DONE]");
    }

    @Test
    void anEndThatDoesNotComeIsAFault() {
        pieces = new String[] {TOKEN, END};
        assertThatThrownBy(this::ask)
                .isInstanceOf(StreamedChat.WrongStream.class)
                .hasMessageContaining("without [DONE]");
    }
}
