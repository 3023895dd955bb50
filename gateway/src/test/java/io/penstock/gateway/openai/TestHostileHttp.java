package io.penstock.gateway.openai;

import static org.assertj.core.api.Assertions.assertThat;

import io.penstock.api.RawHttp2;
import io.penstock.gateway.fake.TinyGateway;
import io.quarkus.test.junit.QuarkusTest;
import io.quarkus.test.junit.TestProfile;
import java.io.ByteArrayOutputStream;
import java.io.IOException;
import java.net.SocketException;
import org.junit.jupiter.api.Test;
import org.junit.jupiter.params.ParameterizedTest;
import org.junit.jupiter.params.provider.ValueSource;

/// HTTP as no client of ours writes it. What can be read in one way only is served; all else is refused
/// with the envelope, and the connection closed, since what follows could be anything.
@QuarkusTest
@TestProfile(TinyGateway.class)
class TestHostileHttp extends HostileClients {
    private static final String KEY = "authorization: Bearer first-key\r\n";
    private static final String CLOSE = "connection: close\r\n\r\n";
    private static final String MODELS = "GET /v1/models HTTP/1.1\r\nhost: a\r\n" + KEY;

    /// Would be answered 401 if it were taken for a request.
    private static final String SMUGGLED = "GET /v1/models HTTP/1.1\r\nhost: a\r\n\r\n";

    /// @param request `{chat}` stands for a chat's body, `{size}` and `{hex}` for its length; lines end in `|`
    private static String answer(String request) throws IOException {
        String chat = Gateway.chat("");
        return Gateway.answer(request.replace("|", "\r\n")
                .replace("{chat}", chat)
                .replace("{size}", Integer.toString(chat.length()))
                .replace("{hex}", Integer.toHexString(chat.length())));
    }

    private static String post(String headersAndBody) {
        return "POST /v1/chat/completions HTTP/1.1|host: a|" + KEY + "content-type: application/json|" + headersAndBody;
    }

    @ParameterizedTest
    @ValueSource(
            strings = {
                "transfer-encoding: chunked|content-length: 5||{hex}|{chat}|0||",
                "content-length: 5|transfer-encoding: chunked||{hex}|{chat}|0||",
                "transfer-encoding: chunked|transfer-encoding: identity||{hex}|{chat}|0||",
                "transfer-encoding: identity|transfer-encoding: chunked||{hex}|{chat}|0||",
                "transfer-encoding: chunked, chunked||{hex}|{chat}|0||",
                "transfer-encoding: gzip, chunked||{hex}|{chat}|0||",
                "transfer-encoding : chunked||{hex}|{chat}|0||",
                "transfer-encoding: \u000bchunked||{hex}|{chat}|0||",
                "transfer-encoding:||{hex}|{chat}|0||",
                "content-length : {size}||{chat}",
                "content-length: {size}|content-length: {size}||{chat}",
                "content-length: {size}, {size}||{chat}",
                "content-length: 0x10||{chat}",
                "content-length:| {size}||{chat}",
                "transfer-encoding: chunked||{hex}\n{chat}|0||",
                "transfer-encoding: chunked||{hex}|{chat}\n0||",
                "transfer-encoding: chunked||{hex};a\n{chat}|0||",
                "transfer-encoding: chunked||0x{hex}|{chat}|0||",
            })
    void bodiesThatEndInTwoPlaces(String rest) throws Exception {
        assertThat(answer(post(rest) + SMUGGLED))
                .startsWith("HTTP/1.1 400 ")
                .containsOnlyOnce("HTTP/1.1 ")
                .contains("\"type\":\"invalid_request_error\"");
    }

    @Test
    void chunksOfAnOldClient() throws Exception {
        assertThat(answer(post("transfer-encoding: chunked||{hex}|{chat}|0||").replace("HTTP/1.1", "HTTP/1.0")
                        + SMUGGLED))
                .matches("(?s)HTTP/1\\.. 400 .*invalid_request_error.*")
                .doesNotContain("401");
    }

    @ParameterizedTest
    @ValueSource(
            strings = {
                "GET /v1/models HTTP/1.1\nhost: a\n\n",
                "GET /v1/models HTTP/1.1\rhost: a||",
                "GET /v1/models HTTP/1.1|host: a|x: a\rb: c||",
                "GET /v1\\models HTTP/1.1|host: a||",
                "GET /v1/models HTTP/1.1|host: a b@:::/||",
                "GET /v1/models HTTP/1.1|host: a|connection: Upgrade, HTTP2-Settings|upgrade: h2c|http2-settings: !!!||",
                "GET /v1/models HTTP/1.1|host: a|connection: Upgrade, HTTP2-Settings|upgrade: h2c|http2-settings: AAAA||",
                "GET /v1/models HTTP/1.1|host: a|connection: Upgrade|upgrade: h2c||",
            })
    void headsThatCanBeReadInTwoWays(String head) throws Exception {
        assertThat(answer(head.replaceFirst(
                                "host: a", KEY.replace("\r\n", head.contains("\n\n") ? "\n" : "\r\n") + "host: a")
                        + SMUGGLED))
                .startsWith("HTTP/1.1 400 ")
                .containsOnlyOnce("HTTP/1.1 ")
                .contains("\"type\":\"invalid_request_error\"");
    }

    /// Each a body of one chat, however it comes.
    @ParameterizedTest
    @ValueSource(
            strings = {
                "content-length: 000{size}||{chat}",
                "x: a| b|content-length: {size}||{chat}",
                "transfer-encoding: chunked||{hex};a=b;c=\"d\"|{chat}|0;x||",
                "transfer-encoding: chunked||{hex}|{chat}|0|content-length: 5|host: b|authorization: x||",
                "expect: 200-ok|content-length: {size}||{chat}",
            })
    void bodiesThatAreOdd(String rest) throws Exception {
        assertThat(answer(post(rest) + MODELS + CLOSE))
                .startsWith("HTTP/1.1 200 ")
                // What follows is the next request, and nothing else is.
                .contains("{\"object\":\"list\"");
    }

    /// RFC 9110, 10.1.1: a client of HTTP/1.0 knows no answer before the answer.
    @Test
    void anOldClientThatAsksWhetherToSend() throws Exception {
        assertThat(answer(post("expect: 100-continue|content-length: {size}||{chat}")
                        .replace("HTTP/1.1", "HTTP/1.0")))
                .startsWith("HTTP/1.0 200 ");
    }

    @Test
    void addressesOfProxies() throws Exception {
        for (String address : new String[] {"http://other/v1/models", "https://a:b@other:99999/v1/models"}) {
            assertThat(answer("GET " + address + " HTTP/1.1|host: a|" + KEY + CLOSE))
                    .startsWith("HTTP/1.1 200 ");
        }
        for (String line :
                new String[] {"CONNECT a:80", "OPTIONS *", "TRACE /v1/models", "A".repeat(5_000) + " /v1/models"}) {
            assertThat(answer(line + " HTTP/1.1|host: a|" + KEY + CLOSE))
                    .matches("(?s)HTTP/1.1 40[45] .*\"type\":\"invalid_request_error\".*");
        }
    }

    @Test
    void manyTinyFields() throws Exception {
        assertThat(answer(MODELS + "a:|".repeat(2_000) + CLOSE)).startsWith("HTTP/1.1 200 ");
        assertThat(answer(MODELS + "a:|".repeat(6_000) + CLOSE))
                .startsWith("HTTP/1.1 431 ")
                .contains("headers_too_large");
    }

    /// Not both of two keys, and no other spelling.
    @Test
    void keysThatAreNone() throws Exception {
        for (String key : new String[] {
            "authorization: Bearer x|" + KEY,
            "authorization: Bearer first-key, Bearer x|",
            "authorization:|",
            "authorization: Bearer \u00e4|"
        }) {
            assertThat(answer("GET /v1/models HTTP/1.1|host: a|" + key + CLOSE)).startsWith("HTTP/1.1 401 ");
        }
    }

    private static byte[] repeated(byte[] frame, int times) {
        ByteArrayOutputStream all = new ByteArrayOutputStream(frame.length * times);
        for (int i = 0; i < times; i++) {
            all.writeBytes(frame);
        }
        return all.toByteArray();
    }

    private static byte[] headers(int flags) throws IOException {
        return RawHttp2.frame(
                RawHttp2.HEADERS,
                flags,
                1,
                RawHttp2.headers(
                        ":method",
                        "POST",
                        ":scheme",
                        "http",
                        ":path",
                        "/v1/chat/completions",
                        ":authority",
                        "localhost",
                        "content-type",
                        "application/json",
                        "authorization",
                        "Bearer " + TinyGateway.KEY));
    }

    /// @return whether the server went away
    private static boolean flood(byte[] first, byte[] frames) throws IOException {
        try (RawHttp2 client = new RawHttp2(Gateway.connect(TinyGateway.port(), 0))) {
            try {
                client.send(first);
                client.send(frames);
            } catch (SocketException closed) {
                return true;
            }
            return !client.answersPing();
        } finally {
            Answer.to("/v1/chat/completions", Gateway.chat("")).statusCode(200);
        }
    }

    @Test
    void floodsOfFrames() throws Exception {
        byte[] none = {};
        byte[] emptyData = RawHttp2.frame(RawHttp2.DATA, 0, 1, none);
        assertThat(flood(headers(RawHttp2.END_HEADERS), repeated(emptyData, 10_000)))
                .as("empty data")
                .isTrue();
        byte[] continuation = RawHttp2.frame(RawHttp2.CONTINUATION, 0, 1, RawHttp2.headers("a", "b"));
        assertThat(flood(headers(0), repeated(continuation, 10_000)))
                .as("headers without end")
                .isTrue();
        assertThat(flood(none, repeated(RawHttp2.frame(RawHttp2.SETTINGS, 0, 0, none), 2_000)))
                .as("settings that are read, each with its answer")
                .isFalse();
        // Whose answers nobody reads.
        assertThat(flood(none, repeated(RawHttp2.frame(RawHttp2.SETTINGS, 0, 0, none), 1_000_000)))
                .as("settings without end")
                .isTrue();
    }
}
