package io.penstock.gateway.openai;

import static io.penstock.gateway.fake.TinyGateway.given;
import static org.assertj.core.api.Assertions.assertThat;
import static org.awaitility.Awaitility.await;
import static org.hamcrest.Matchers.equalTo;

import io.penstock.gateway.access.Capacity;
import io.penstock.gateway.fake.FakeCall;
import io.penstock.gateway.fake.FakeScheduler;
import io.penstock.gateway.fake.FakeSchedulers;
import io.penstock.gateway.fake.Script;
import io.penstock.gateway.fake.Script.Incident;
import io.penstock.gateway.fake.TinyGateway;
import io.quarkus.test.junit.QuarkusTest;
import io.quarkus.test.junit.TestProfile;
import jakarta.inject.Inject;
import java.io.BufferedReader;
import java.io.IOException;
import java.net.Socket;
import java.nio.charset.StandardCharsets;
import java.util.ArrayList;
import java.util.List;
import java.util.concurrent.CountDownLatch;
import org.eclipse.microprofile.config.ConfigProvider;
import org.junit.jupiter.api.AfterEach;
import org.junit.jupiter.api.BeforeEach;
import org.junit.jupiter.api.Test;

/// Readers that leave, sleep, or are too many.
@QuarkusTest
@TestProfile(TinyGateway.class)
class TestReaders {
    private static final String CHAT = "/v1/chat/completions";

    private final FakeScheduler scheduler = FakeSchedulers.first();

    @Inject
    Capacity capacity;

    private int port;

    @BeforeEach
    void ready() {
        Gateway.awaitReady();
        port = ConfigProvider.getConfig().getValue("quarkus.http.test-port", Integer.class);
    }

    /// Whatever a test did, nothing may be left in hand.
    @AfterEach
    void idle() {
        await().until(() -> capacity.requests() == 0);
    }

    @Test
    void aReaderThatLeavesInMidStreamEndsItsSequence() throws Exception {
        scheduler.plays(Script.endless("abcdefgh"));
        try (Socket socket = Gateway.connect(port, 0)) {
            Gateway.post(socket, CHAT, Gateway.wideChat(",\"stream\":true"));
            Gateway.readUntil(Gateway.lines(socket), "\"content\":\"a");
        }
        assertThat(scheduler.nextCall().awaitCancelled(5)).isTrue();
    }

    @Test
    void aReaderThatLeavesBeforeTheFirstTokenEndsItsSequence() throws Exception {
        CountDownLatch never = new CountDownLatch(1);
        for (String stream : List.of("", ",\"stream\":true")) {
            scheduler.plays(Script.saying("a").with(0, new Incident.Pause(never)));
            FakeCall call;
            try (Socket socket = Gateway.connect(port, 0)) {
                Gateway.post(socket, CHAT, Gateway.wideChat(stream));
                call = scheduler.nextCall();
            }
            assertThat(call.awaitCancelled(5)).isTrue();
        }
        never.countDown();
    }

    @Test
    void aReaderThatStandsStillHoldsItsOwnSequenceUpAndIsCutOff() throws Exception {
        scheduler.plays(Script.endless("0123456789"));
        try (Socket socket = Gateway.connect(port, 4 << 10)) {
            Gateway.post(socket, CHAT, Gateway.wideChat(",\"stream\":true,\"ignore_eos\":true"));
            FakeCall call = scheduler.nextCall();
            assertThat(call.awaitCancelled(15)).isTrue();
            assertThat(call.sent())
                    .as("tokens under way to a reader that reads none")
                    .isLessThan(20_000);
            // Cut, not ended.
            BufferedReader lines = Gateway.lines(socket);
            String last = "";
            try {
                for (String line = lines.readLine(); line != null; line = lines.readLine()) {
                    last = line;
                }
            } catch (IOException reset) {
                last = "reset";
            }
            assertThat(last).doesNotContain("[DONE]").isNotEqualTo("0");
        }
    }

    @Test
    void anIdleStreamIsKeptAlive() throws Exception {
        CountDownLatch go = new CountDownLatch(1);
        scheduler.plays(Script.saying("a").with(0, new Incident.Pause(go)));
        try (Socket socket = Gateway.connect(port, 0)) {
            Gateway.post(socket, CHAT, Gateway.wideChat(",\"stream\":true"));
            BufferedReader lines = Gateway.lines(socket);
            assertThat(lines.readLine()).isEqualTo("HTTP/1.1 200 OK");
            Gateway.readUntil(lines, ": keep-alive");
            go.countDown();
            Gateway.readUntil(lines, "[DONE]");
        }
    }

    @Test
    void oneTooManyIsToldToComeBack() throws Exception {
        CountDownLatch go = new CountDownLatch(1);
        scheduler.plays(Script.endless("a").with(0, new Incident.Pause(go)));
        List<Socket> sockets = new ArrayList<>();
        try {
            // Only one call of the script pauses; the others stream until they are closed.
            for (int i = 0; i < TinyGateway.MAX_CONCURRENT; i++) {
                Socket socket = Gateway.connect(port, 0);
                sockets.add(socket);
                // A body that is announced and does not come occupies a place, too.
                socket.getOutputStream()
                        .write(("POST " + CHAT + " HTTP/1.1\r\nhost: localhost\r\ncontent-type: application/json\r\n"
                                        + "authorization: Bearer " + TinyGateway.KEY + "\r\ncontent-length: 10\r\n\r\n")
                                .getBytes(StandardCharsets.US_ASCII));
            }
            await().until(() -> capacity.requests() == TinyGateway.MAX_CONCURRENT);
            given().contentType("application/json")
                    .body(Gateway.wideChat(""))
                    .post(CHAT)
                    .then()
                    .statusCode(429)
                    .header("retry-after", "1")
                    .body("error.code", equalTo("rate_limit_exceeded"));
            for (Socket socket : sockets) {
                BufferedReader lines = Gateway.lines(socket);
                assertThat(lines.readLine()).contains("408");
                Gateway.readUntil(lines, "body_too_slow");
            }
        } finally {
            for (Socket socket : sockets) {
                socket.close();
            }
        }
    }
}
