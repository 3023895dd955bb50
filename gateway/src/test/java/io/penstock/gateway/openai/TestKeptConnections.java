package io.penstock.gateway.openai;

import static org.assertj.core.api.Assertions.assertThat;
import static org.awaitility.Awaitility.await;

import io.penstock.gateway.access.Capacity;
import io.penstock.gateway.fake.FakeScheduler;
import io.penstock.gateway.fake.FakeSchedulers;
import io.penstock.gateway.fake.Script;
import io.penstock.gateway.fake.TinyGateway;
import io.quarkus.test.junit.QuarkusTest;
import io.quarkus.test.junit.TestProfile;
import jakarta.inject.Inject;
import java.io.IOException;
import java.net.Socket;
import java.nio.charset.StandardCharsets;
import java.time.Duration;
import java.util.ArrayList;
import java.util.List;
import java.util.concurrent.Callable;
import java.util.concurrent.ExecutorService;
import java.util.concurrent.Executors;
import java.util.concurrent.Future;
import org.eclipse.microprofile.config.ConfigProvider;
import org.junit.jupiter.api.AfterEach;
import org.junit.jupiter.api.BeforeEach;
import org.junit.jupiter.api.Test;

/// Clients and load balancers send the next request over the connection of the last: one that closes without having
/// said so loses a request, and a POST is not sent twice.
@QuarkusTest
@TestProfile(TinyGateway.class)
class TestKeptConnections {
    private static final String CHAT = "/v1/chat/completions";
    private static final String STREAM = Gateway.chat(",\"stream\":true");

    /// What is sent, and how it is answered.
    private record Exchange(String method, String path, String headers, String body, int status, String part) {}

    private static final List<Exchange> EXCHANGES = List.of(
            new Exchange("POST", CHAT, "", STREAM, 200, "data: [DONE]\n\n"),
            new Exchange("POST", CHAT, "", Gateway.chat(""), 200, "\"finish_reason\":\"stop\""),
            new Exchange("GET", "/v1/models", "", null, 200, "tiny"),
            new Exchange("POST", CHAT, "", "{", 400, "error"),
            new Exchange("POST", CHAT, "", Gateway.chat("").replace("tiny", "none"), 404, "model_not_found"),
            new Exchange("POST", "/v1/nothing", "", STREAM, 404, "error"),
            new Exchange("POST", "/v1/models", "", STREAM, 405, "error"),
            new Exchange("GET", CHAT, "", null, 405, "error"),
            new Exchange("POST", CHAT, "accept: image/png\r\n", STREAM, 200, "data: [DONE]\n\n"),
            new Exchange("GET", "/v1/models", "", "{}", 200, "tiny"),
            new Exchange("GET", "/v1/models/none", "", null, 404, "error"),
            new Exchange("GET", "/q/health/live", "", null, 200, "UP"),
            new Exchange("GET", "/q/metrics", "", null, 200, "vllm"),
            new Exchange(
                    "POST", "/v1/completions", "", "{\"model\":\"tiny\",\"prompt\":\"a\"}", 200, "text_completion"),
            new Exchange("POST", CHAT, "x: " + "y".repeat(20_000) + "\r\n", STREAM, 431, "error"),
            new Exchange("POST", CHAT, "", "\"" + "x".repeat(TinyGateway.MAX_BODY) + "\"", 413, "error"),
            new Exchange("DELETE", "/v1/models", "", null, 405, "error"));

    private final FakeScheduler scheduler = FakeSchedulers.first();

    @Inject
    Capacity capacity;

    @BeforeEach
    void ready() {
        Gateway.awaitReady();
        scheduler.plays(Script.saying("abcdefgh"));
    }

    @AfterEach
    void idle() {
        await().until(() -> capacity.requests() == 0);
    }

    private static void inParallel(int clients, Callable<Void> client) throws Exception {
        try (ExecutorService threads = Executors.newVirtualThreadPerTaskExecutor()) {
            List<Future<Void>> all = new ArrayList<>();
            for (int i = 0; i < clients; i++) {
                all.add(threads.submit(client));
            }
            for (Future<Void> each : all) {
                each.get();
            }
        }
    }

    @Test
    void anAnswerThatDoesNotAnnounceAnEndHasNone() throws Exception {
        inParallel(8, () -> {
            KeptConnection connection = new KeptConnection(TinyGateway.port());
            try {
                for (int round = 0; round < 15; round++) {
                    for (Exchange exchange : EXCHANGES) {
                        connection.send(exchange.method(), exchange.path(), exchange.headers(), exchange.body());
                        KeptConnection.Received answer = connection.read();
                        assertThat(answer.status())
                                .as("%s: %s", exchange, answer)
                                .isEqualTo(exchange.status());
                        assertThat(answer.body()).as("%s", exchange).contains(exchange.part());
                        if (answer.isLast()) {
                            assertThat(connection.closes()).isTrue();
                            connection.close();
                            connection = new KeptConnection(TinyGateway.port());
                        }
                    }
                }
            } finally {
                connection.close();
            }
            return null;
        });
    }

    /// Some clients stop reading at `[DONE]`. If the end of the body is not there by then, they close
    /// the connection, and the JDK's client may have given it to another request.
    @Test
    void theEndOfAStreamComesWithItsLastEvent() throws Exception {
        try (Socket socket = Gateway.connect(TinyGateway.port(), 0)) {
            socket.setTcpNoDelay(true);
            byte[] part = new byte[64 << 10];
            for (int i = 0; i < 200; i++) {
                Gateway.post(socket, CHAT, STREAM);
                StringBuilder answer = new StringBuilder();
                while (answer.indexOf("[DONE]") < 0) {
                    int length = socket.getInputStream().read(part);
                    assertThat(length).isPositive();
                    answer.append(new String(part, 0, length, StandardCharsets.UTF_8));
                }
                assertThat(answer).endsWith("data: [DONE]\n\n\r\n0\r\n\r\n");
            }
        }
    }

    /// Beside them readers leave, which must not cost the others their connections.
    @Test
    void streamsFollowEachOtherOnTheirConnections() throws Exception {
        inParallel(12, () -> {
            int port = TinyGateway.port();
            try (KeptConnection connection = new KeptConnection(port)) {
                for (int stream = 0; stream < 60; stream++) {
                    connection.send("POST", CHAT, "", STREAM);
                    if (stream % 12 == 0) {
                        leave(port);
                    }
                    assertStreamed(connection.read());
                }
            }
            return null;
        });
    }

    private static void leave(int port) throws IOException {
        try (Socket socket = Gateway.connect(port, 0)) {
            Gateway.post(socket, CHAT, Gateway.wideChat(",\"stream\":true,\"ignore_eos\":true"));
            assertThat(Gateway.lines(socket).readLine()).contains("200");
        }
    }

    private static void assertStreamed(KeptConnection.Received answer) {
        assertThat(answer.status()).isEqualTo(200);
        assertThat(answer.isLast()).isFalse();
        assertThat(answer.body()).endsWith("data: [DONE]\n\n");
    }

    @Test
    void requestsMayBeSentBeforeTheAnswersTheyFollow() throws Exception {
        inParallel(4, () -> {
            try (KeptConnection connection = new KeptConnection(TinyGateway.port())) {
                for (int round = 0; round < 20; round++) {
                    for (int i = 0; i < 5; i++) {
                        connection.send("POST", CHAT, "", STREAM);
                        connection.send("POST", "/v1/nothing", "", STREAM);
                    }
                    for (int i = 0; i < 5; i++) {
                        assertStreamed(connection.read());
                        assertThat(connection.read().status()).isEqualTo(404);
                    }
                }
            }
            return null;
        });
    }

    @Test
    void aStreamThatFailsKeepsItsConnection() throws Exception {
        try (KeptConnection connection = new KeptConnection(TinyGateway.port())) {
            for (int i = 0; i < 3; i++) {
                scheduler.plays(Script.saying("abcdefgh").with(4, new Script.Incident.Skew(3)));
                connection.send("POST", CHAT, "", STREAM);
                KeptConnection.Received answer = connection.read();
                assertThat(answer.body()).contains("internal_error").doesNotContain("[DONE]");
                assertThat(answer.isLast()).isFalse();
            }
        }
    }

    /// The load balancer of the cloud gives a connection up after 300 s without a byte; whoever is behind it must wait
    /// longer, or it closes one that the balancer is about to use.
    @Test
    void anIdleConnectionOutlivesTheLoadBalancers() {
        assertThat(ConfigProvider.getConfig().getValue("quarkus.http.idle-timeout", String.class))
                .satisfies(text -> assertThat(Duration.parse("PT" + text)).isGreaterThan(Duration.ofMinutes(5)));
    }
}
