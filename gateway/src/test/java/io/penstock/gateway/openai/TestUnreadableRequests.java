package io.penstock.gateway.openai;

import static org.assertj.core.api.Assertions.assertThat;

import io.penstock.gateway.fake.Certificate;
import io.penstock.gateway.fake.FakeCall;
import io.penstock.gateway.fake.Script;
import io.penstock.gateway.fake.TinyGateway;
import io.quarkus.test.common.http.TestHTTPResource;
import io.quarkus.test.junit.QuarkusTest;
import io.quarkus.test.junit.TestProfile;
import java.io.IOException;
import java.net.Socket;
import java.net.SocketTimeoutException;
import java.net.URI;
import java.net.http.HttpClient;
import java.net.http.HttpRequest;
import java.net.http.HttpResponse;
import java.util.ArrayList;
import java.util.List;
import org.junit.jupiter.api.Test;
import org.junit.jupiter.params.ParameterizedTest;
import org.junit.jupiter.params.provider.ValueSource;

/// Requests that are none, or do not come to their end. Each is answered with the envelope while
/// there is somebody to answer, and loses its connection: what follows could be anything.
@QuarkusTest
@TestProfile(TinyGateway.class)
class TestUnreadableRequests extends HostileClients {
    private static final String GET = "GET /v1/models HTTP/1.1\r\nhost: a\r\nauthorization: Bearer first-key\r\n";
    private static final String POST =
            "POST /v1/chat/completions HTTP/1.1\r\nhost: a\r\nauthorization: Bearer first-key\r\ncontent-type: application/json\r\n";
    private static final String CHUNKED = POST + "transfer-encoding: chunked\r\n\r\n";

    @TestHTTPResource(value = "/v1/models", tls = true)
    URI encrypted;

    /// Of connections that stand side by side: each may take its whole time.
    ///
    /// @return as [Gateway#answer]
    private static List<String> answers(String... requests) throws IOException {
        List<Socket> sockets = new ArrayList<>();
        try {
            for (String request : requests) {
                Socket socket = Gateway.connect(TinyGateway.port(), 0);
                sockets.add(socket);
                Gateway.send(socket, request);
            }
            List<String> answers = new ArrayList<>();
            for (Socket socket : sockets) {
                answers.add(Gateway.rest(socket));
            }
            return answers;
        } finally {
            for (Socket socket : sockets) {
                socket.close();
            }
        }
    }

    private static void assertRefused(String answer, int status, String code) {
        assertThat(answer).startsWith("HTTP/1.1 " + status + " ");
        assertRefusal(answer, code);
    }

    private static void assertRefusal(String answer, String code) {
        String[] parts = answer.split("\r\n\r\n", -1);
        assertThat(parts[parts.length - 2])
                .containsIgnoringCase("content-type: application/json")
                .containsIgnoringCase("connection: close")
                .containsIgnoringCase("content-length: " + parts[parts.length - 1].length());
        assertThat(parts[parts.length - 1])
                .startsWith("{\"error\":{")
                .contains("\"type\":\"invalid_request_error\"")
                .contains(code == null ? "\"code\":null" : "\"code\":\"" + code + "\"")
                .endsWith("}}");
    }

    @Test
    void headsTooLargeForTheDecoder() throws Exception {
        assertRefused(Gateway.answer(GET + "x: " + "y".repeat(40_000)), 431, "headers_too_large");
        assertRefused(Gateway.answer(GET + "x: y\r\n".repeat(10_000)), 431, "headers_too_large");
        assertRefused(Gateway.answer("GET /" + "y".repeat(40_000)), 414, "url_too_long");
    }

    @ParameterizedTest
    @ValueSource(
            strings = {
                "\r\nHELLO\r\n\r\n",
                "GET\r\n\r\n",
                "GET /v1/models\r\n\r\n",
                "GET /v1/models HTTP/x.y\r\nhost: a\r\n\r\n",
                "GET /v1/models FTP/1.1\r\nhost: a\r\n\r\n",
                "GET /v1/models HTTP/9.9\r\nhost: a\r\n\r\n",
                "GET /v1/models HTTP/2.0\r\nhost: a\r\n\r\n",
                "G\u0000T /v1/models HTTP/1.1\r\nhost: a\r\n\r\n",
                "GET /v1/models HTTP/1.1\r\nhost: a\r\nno colon\r\n\r\n",
                "GET /v1/models HTTP/1.1\r\nhost: a\r\n: no name\r\n\r\n",
                "GET /v1/models HTTP/1.1\r\nhost: a\r\nx\u0000y: z\r\n\r\n",
                "POST /v1/completions HTTP/1.1\r\nhost: a\r\ncontent-length: 1\r\ncontent-length: 2\r\n\r\nab",
                "POST /v1/completions HTTP/1.1\r\nhost: a\r\ncontent-length: -1\r\n\r\n",
                "POST /v1/completions HTTP/1.1\r\nhost: a\r\ncontent-length: +1\r\n\r\n",
                "POST /v1/completions HTTP/1.1\r\nhost: a\r\ncontent-length: 99999999999999999999\r\n\r\n",
                "\u0016\u0003\u0001\u0002\u0000\u0001\u0000\u0001\u00fc\u0003\u0003\r\n\r\n",
            })
    void headsThatAreNone(String head) throws Exception {
        assertRefused(Gateway.answer(head), 400, null);
    }

    @ParameterizedTest
    @ValueSource(strings = {"zz\r\n", "-1\r\n", "fffffffffffffffff\r\n", "2\r\n{}}\r\n", "\r\n", "1;\u0000"})
    void chunksThatAreNone(String chunk) throws Exception {
        assertRefused(Gateway.answer(CHUNKED + "1\r\n{\r\n" + chunk + "y".repeat(40_000)), 400, null);
        // Their places are free again.
        for (int i = 0; i < TinyGateway.MAX_CONCURRENT; i++) {
            assertRefused(Gateway.answer(CHUNKED + chunk + "y".repeat(40_000)), 400, null);
        }
        Answer.to("/v1/chat/completions", Gateway.chat("")).statusCode(200);
    }

    @Test
    void trailersTooLarge() throws Exception {
        assertRefused(Gateway.answer(CHUNKED + "0\r\nx: " + "y".repeat(40_000)), 431, "headers_too_large");
    }

    /// Their answers come first, and whole.
    @Test
    void whatWasSentBefore() throws Exception {
        assertThat(Gateway.answer(GET + "\r\n" + GET + "\r\nHELLO\r\n\r\n"))
                .matches("(?s)HTTP/1.1 200 .*HTTP/1.1 200 .*HTTP/1.1 400 .*")
                .satisfies(all -> assertRefusal(all, null));
        String body = Gateway.chat(",\"stream\":true");
        String stream = POST + "content-length: " + body.length() + "\r\n\r\n" + body;
        assertThat(Gateway.answer(stream + "HELLO\r\n\r\n"))
                .matches("(?s)HTTP/1.1 200 .*data: \\[DONE].*HTTP/1.1 400 .*")
                .satisfies(all -> assertRefusal(all, null));
        assertThat(Gateway.answer(stream + CHUNKED + "zz\r\n"))
                .matches("(?s)HTTP/1.1 200 .*data: \\[DONE].*HTTP/1.1 400 .*")
                .satisfies(all -> assertRefusal(all, null));
    }

    /// Not even where the rest of it keeps coming, a byte at a time.
    @Test
    void headsWithoutEnd() throws Exception {
        List<String> answers = answers("GET /v1/mod", GET + "x: ", "", "PRI * HTTP/2.0\r\n\r\nSM");
        assertRefused(answers.get(0), 408, "headers_too_slow");
        assertRefused(answers.get(1), 408, "headers_too_slow");
        assertThat(answers.get(2)).as("who says nothing is told nothing").isEmpty();
        assertThat(answers.get(3)).as("half a preface").isEmpty();
        assertRefused(trickled(GET + "x: "), 408, "headers_too_slow");
    }

    /// What comes in one piece with the end of a request has its time from then on.
    @Test
    void headsWithoutEndBehindAnother() throws Exception {
        String body = Gateway.chat("");
        String chat = POST + "content-length: " + body.length() + "\r\n\r\n" + body;
        for (String answer : answers(
                GET + "\r\n" + "G",
                GET + "\r\n" + "GET /v1/models HTTP/1.1\r\n",
                GET + "\r\n" + GET,
                chat + GET + "x: ",
                chat + chat + "GET /")) {
            assertThat(answer)
                    .matches("(?s)HTTP/1.1 200 .*HTTP/1.1 408 .*")
                    .satisfies(all -> assertRefusal(all, "headers_too_slow"));
        }
    }

    /// Only bytes of a head begin one: an old client ends its body with a line of its own.
    @Test
    void linesBetweenRequestsAreNoHead() throws Exception {
        try (Socket kept = Gateway.connect(TinyGateway.port(), 0)) {
            var lines = Gateway.lines(kept);
            Gateway.send(kept, GET + "\r\n\r\n");
            assertThat(lines.readLine()).contains(" 200 ");
            // As long as a head would have, and longer.
            assertRefused(Gateway.answer("GET /v1/mod"), 408, "headers_too_slow");
            Gateway.send(kept, GET + "\r\n");
            Gateway.readUntil(lines, "HTTP/1.1 200 ");
        }
    }

    /// What comes on a kept connection has its time, too.
    @Test
    void laterHeadsWithoutEnd() throws Exception {
        try (Socket socket = Gateway.connect(TinyGateway.port(), 0)) {
            Gateway.send(socket, GET + "\r\n");
            var lines = Gateway.lines(socket);
            assertThat(lines.readLine()).contains(" 200 ");
            Gateway.send(socket, "GET /");
            Gateway.readUntil(lines, "HTTP/1.1 408 ");
            Gateway.readUntil(lines, "headers_too_slow");
            assertThat(lines.read()).isNegative();
        }
    }

    @Test
    void bodiesWithoutEnd() throws Exception {
        List<String> answers = answers(
                POST + "content-length: 100\r\n\r\n{",
                CHUNKED + "5\r\n{",
                // Nobody waits for this one.
                POST.replace("/v1/chat/completions", "/v1/nothing") + "content-length: 100\r\n\r\n{");
        assertRefused(answers.get(0), 408, "body_too_slow");
        assertRefused(answers.get(1), 408, "body_too_slow");
        assertRefused(answers.get(2).replace("\r\n\r\n", "\r\nconnection: close\r\n\r\n"), 404, "unknown_url");
        assertRefused(trickled(POST + "content-length: 100000\r\n\r\n"), 408, "body_too_slow");
    }

    /// A byte for each moment in which no answer comes.
    private static String trickled(String start) throws IOException {
        try (Socket socket = Gateway.connect(TinyGateway.port(), 0)) {
            Gateway.send(socket, start);
            socket.setSoTimeout(50);
            while (true) {
                try {
                    int first = socket.getInputStream().read();
                    socket.setSoTimeout(20_000);
                    return (char) first + Gateway.rest(socket);
                } catch (SocketTimeoutException e) {
                    Gateway.send(socket, "y");
                }
            }
        }
    }

    /// Whatever was sent behind a stream, whoever leaves ends its sequence.
    @ParameterizedTest
    @ValueSource(strings = {"", "HELLO\r\n\r\n", GET + "\r\n", GET + "x:", CHUNKED + "5\r\n{"})
    void whoLeavesEndsItsSequence(String next) throws Exception {
        scheduler.plays(Script.endless("abc"));
        FakeCall call;
        try (Socket socket = Gateway.connect(TinyGateway.port(), 0)) {
            String body = Gateway.wideChat(",\"stream\":true");
            Gateway.send(socket, POST + "content-length: " + body.length() + "\r\n\r\n" + body + next);
            Gateway.readUntil(Gateway.lines(socket), "\"content\":\"");
            call = scheduler.nextCall();
        }
        assertThat(call.awaitCancelled(5)).isTrue();
    }

    @Test
    void overTls() throws Exception {
        try (Socket plain = Gateway.connect(encrypted.getPort(), 0);
                Socket socket = Certificate.context()
                        .getSocketFactory()
                        .createSocket(plain, "localhost", encrypted.getPort(), true)) {
            Gateway.send(socket, GET + "\r\nHELLO\r\n\r\n");
            assertThat(Gateway.rest(socket))
                    .matches("(?s)HTTP/1.1 200 .*HTTP/1.1 400 .*")
                    .satisfies(all -> assertRefusal(all, null));
        }
        try (Socket plain = Gateway.connect(encrypted.getPort(), 0);
                Socket socket = Certificate.context()
                        .getSocketFactory()
                        .createSocket(plain, "localhost", encrypted.getPort(), true)) {
            Gateway.send(socket, GET + "x: ");
            assertRefused(Gateway.rest(socket), 408, "headers_too_slow");
        }
    }

    /// HTTP/2 in the clear begins as HTTP/1.
    @Test
    void anUpgradeIsLeftAlone() throws Exception {
        try (HttpClient client =
                HttpClient.newBuilder().version(HttpClient.Version.HTTP_2).build()) {
            HttpRequest request = HttpRequest.newBuilder(
                            URI.create("http://localhost:" + TinyGateway.port() + "/v1/models"))
                    .header("authorization", "Bearer " + TinyGateway.KEY)
                    .build();
            for (int i = 0; i < 3; i++) {
                HttpResponse<String> response = client.send(request, HttpResponse.BodyHandlers.ofString());
                assertThat(response.version()).isEqualTo(HttpClient.Version.HTTP_2);
                assertThat(response.statusCode()).isEqualTo(200);
            }
        }
    }
}
