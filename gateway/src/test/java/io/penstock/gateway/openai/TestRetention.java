package io.penstock.gateway.openai;

import static org.assertj.core.api.Assertions.assertThat;
import static org.awaitility.Awaitility.await;

import io.penstock.api.ObjectCounts;
import io.penstock.gateway.access.Capacity;
import io.penstock.gateway.fake.FakeScheduler;
import io.penstock.gateway.fake.FakeSchedulers;
import io.penstock.gateway.fake.KeptSpans;
import io.penstock.gateway.fake.Script;
import io.penstock.gateway.fake.TinyGateway;
import io.quarkus.test.junit.QuarkusTest;
import io.quarkus.test.junit.TestProfile;
import jakarta.inject.Inject;
import java.net.Socket;
import java.util.ArrayList;
import java.util.List;
import java.util.Map;
import java.util.concurrent.ExecutorService;
import java.util.concurrent.Executors;
import java.util.concurrent.Future;
import org.junit.jupiter.api.BeforeEach;
import org.junit.jupiter.api.Test;

/// A gateway that keeps something of each stream dies of it in weeks.
@QuarkusTest
@TestProfile(TinyGateway.class)
class TestRetention {
    private static final String CHAT = "/v1/chat/completions";
    private static final int CLIENTS = 10;
    private static final int ROUNDS = 12;
    /// Streams of all kinds.
    private static final int STREAMS = 4 * CLIENTS * ROUNDS;

    private final FakeScheduler scheduler = FakeSchedulers.first();

    @Inject
    Capacity capacity;

    @Inject
    KeptSpans spans;

    @BeforeEach
    void ready() {
        Gateway.awaitReady();
    }

    @Test
    void nothingStaysOfStreamsThatEnded() throws Exception {
        // The first ones fill caches and pools that stay.
        streams(ROUNDS);
        String begin = ObjectCounts.alive();
        streams(ROUNDS);
        String middle = ObjectCounts.alive();
        streams(ROUNDS);
        String end = ObjectCounts.alive();
        assertThat(capacity.requests()).isZero();
        assertThat(capacity.bytes()).isZero();
        Map<String, Long> first = ObjectCounts.counts(begin);
        Map<String, Long> second = ObjectCounts.counts(middle);
        ObjectCounts.counts(end).forEach((name, count) -> {
            long before = second.getOrDefault(name, 0L);
            // What is loaded once, late, grows once; what is kept of each stream grows each time.
            long growth = Math.min(count - before, before - first.getOrDefault(name, 0L));
            long most = name.startsWith("io.penstock.gateway.") ? CLIENTS : STREAMS / 2;
            assertThat(growth).as("growth of %s in %d streams", name, STREAMS).isLessThan(most);
        });
    }

    private void streams(int rounds) throws Exception {
        scheduler.plays(Script.saying("abcdefgh"));
        int port = TinyGateway.port();
        try (ExecutorService threads = Executors.newVirtualThreadPerTaskExecutor()) {
            List<Future<Void>> all = new ArrayList<>();
            for (int i = 0; i < CLIENTS; i++) {
                all.add(threads.submit(() -> {
                    client(port, rounds);
                    return null;
                }));
            }
            for (Future<Void> each : all) {
                each.get();
            }
        }
        await().until(() -> capacity.requests() == 0);
        // What the test's own parts keep.
        scheduler.plays(Script.saying(""));
        spans.forget();
    }

    /// One that ends, one that a stop text ends, one whole, and one that is left.
    private static void client(int port, int rounds) throws Exception {
        try (KeptConnection connection = new KeptConnection(port)) {
            for (int round = 0; round < rounds; round++) {
                for (String fields : List.of(",\"stream\":true", ",\"stream\":true,\"stop\":\"d\"", "")) {
                    connection.send("POST", CHAT, "", Gateway.chat(fields));
                    assertThat(connection.read().status()).isEqualTo(200);
                }
                try (Socket socket = Gateway.connect(port, 0)) {
                    socket.setTcpNoDelay(true);
                    Gateway.post(socket, CHAT, Gateway.chat(",\"stream\":true"));
                    assertThat(Gateway.lines(socket).readLine()).contains("200");
                }
            }
        }
    }
}
