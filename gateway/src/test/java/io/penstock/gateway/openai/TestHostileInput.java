package io.penstock.gateway.openai;

import static io.penstock.gateway.fake.TinyGateway.given;
import static org.assertj.core.api.Assertions.assertThat;
import static org.hamcrest.Matchers.containsString;
import static org.hamcrest.Matchers.equalTo;
import static org.hamcrest.Matchers.lessThan;
import static org.hamcrest.Matchers.not;
import static org.hamcrest.Matchers.notNullValue;
import static org.hamcrest.Matchers.startsWith;

import io.penstock.api.RapidReset;
import io.penstock.gateway.fake.FakeScheduler;
import io.penstock.gateway.fake.TinyGateway;
import io.penstock.gateway.fake.TinyText;
import io.quarkus.test.junit.QuarkusTest;
import io.quarkus.test.junit.TestProfile;
import java.io.IOException;
import java.net.Socket;
import java.nio.charset.StandardCharsets;
import org.eclipse.microprofile.config.ConfigProvider;
import org.junit.jupiter.api.Test;
import org.junit.jupiter.params.ParameterizedTest;
import org.junit.jupiter.params.provider.CsvSource;
import org.junit.jupiter.params.provider.ValueSource;

/// What a client must not be able to do to us. Whatever it sends, the answer is an envelope and no 500.
@QuarkusTest
@TestProfile(TinyGateway.class)
class TestHostileInput extends HostileClients {
    private static final String CHAT = "/v1/chat/completions";

    private static Answer post(String body) {
        return Answer.to(CHAT, body);
    }

    @ParameterizedTest
    @CsvSource(
            delimiter = '|',
            quoteCharacter = '\0',
            value = {
                "temperature|-0.1",
                "temperature|2.1",
                "temperature|NaN",
                "temperature|Infinity",
                "temperature|1e999",
                "temperature|\"1\"",
                "temperature|true",
                "temperature|[1]",
                "top_p|0",
                "top_p|1.01",
                "top_p|NaN",
                "top_k|-2",
                "top_k|1.5",
                "top_k|99999999999",
                "min_p|-1",
                "min_p|2",
                "repetition_penalty|0",
                "repetition_penalty|-1",
                "repetition_penalty|3",
                "frequency_penalty|-2.1",
                "presence_penalty|2.1",
                "presence_penalty|-Infinity",
                "seed|1.5",
                "seed|99999999999999999999",
                "seed|\"a\"",
                "n|0",
                "n|17",
                "n|-1",
                "n|1000000000",
                "max_tokens|0",
                "max_tokens|-1",
                "max_tokens|1.5",
                "max_tokens|1e99",
                "max_tokens|4096",
                "max_completion_tokens|0",
                "min_tokens|-1",
                "min_tokens|5000",
                "stop|\"\"",
                "stop|5",
                "stop|[1]",
                "stop|[\"a\",\"b\",\"c\",\"d\",\"e\"]",
                "stop_token_ids|[261]",
                "stop_token_ids|[-1]",
                "stop_token_ids|[\"a\"]",
                "logit_bias|{\"a\":1}",
                "logit_bias|{\"1\":101}",
                "logit_bias|{\"1\":NaN}",
                "logit_bias|{\"1\":\"2\"}",
                "logit_bias|{\"261\":1}",
                "logit_bias|{\"-1\":1}",
                "logit_bias|[1]",
                "logit_bias|{\"+1\":1}",
                "logit_bias|{\"01\":1}",
                "logit_bias|{\"\u0661\":1}",
                "logprobs|1",
                "top_logprobs|5",
                "stream|\"yes\"",
                "stream_options|{\"include_usage\":true}",
                "ignore_eos|1",
                "response_format|{\"type\":\"json_object\"}",
                "response_format|\"json\"",
                "tools|[1]",
                "tools|{}",
                "tool_choice|\"required\"",
                "tool_choice|{\"type\":\"function\",\"function\":{\"name\":\"clock\"}}",
            })
    void parametersOutOfTheirBounds(String name, String value) {
        post(Gateway.chat(",\"%s\":%s".formatted(name, value)))
                .statusCode(400)
                .body("error.type", equalTo("invalid_request_error"))
                .body("error.message", notNullValue())
                .body("error.param", startsWith(name));
        assertThat(scheduler.callSoFar()).as("nothing may reach the scheduler").isNull();
    }

    @Test
    void conflictingAndOverlargeLists() {
        post(Gateway.chat(",\"max_tokens\":4,\"max_completion_tokens\":5"))
                .statusCode(400)
                .body("error.param", equalTo("max_completion_tokens"));
        post(Gateway.chat(",\"logprobs\":true,\"top_logprobs\":21"))
                .statusCode(400)
                .body("error.param", equalTo("top_logprobs"));
        StringBuilder biases = new StringBuilder();
        for (int i = 0; i < 2_000; i++) {
            biases.append(i == 0 ? "" : ",").append('"').append(i).append("\":1");
        }
        post(Gateway.chat(",\"logit_bias\":{" + biases + "}"))
                .statusCode(400)
                .body("error.param", equalTo("logit_bias"));
        post(Gateway.chat(",\"stop\":\"" + "s".repeat(2_000) + "\""))
                .statusCode(400)
                .body("error.param", equalTo("stop"));
    }

    @Test
    void listsWithoutBounds() {
        StringBuilder biases = new StringBuilder();
        for (int i = 0; i < 10_000; i++) {
            biases.append(i == 0 ? "" : ",").append('"').append(i % 200).append("9\":1");
        }
        post(Gateway.chat(",\"logit_bias\":{" + biases + "}")).statusCode(400);
        post(Gateway.chat(",\"stop\":[" + "\"s\",".repeat(20_000) + "\"s\"]"))
                .statusCode(400)
                .body("error.param", equalTo("stop"));
        post(Gateway.chat(",\"stop_token_ids\":[" + "1,".repeat(50_000) + "1]"))
                .statusCode(400)
                .body("error.param", equalTo("stop_token_ids"));
        for (String number : new String[] {"2147483648", "4294967297", "-2147483648", "9223372036854775808"}) {
            for (String name : new String[] {"n", "max_tokens", "top_k", "min_tokens"}) {
                post(Gateway.chat(",\"%s\":%s".formatted(name, number)))
                        .statusCode(400)
                        .body("error.param", equalTo(name));
            }
        }
        assertThat(scheduler.callSoFar()).isNull();
        // What is not ours to understand may be as long as the body.
        post(Gateway.chat(",\"metadata\":{\"a\":\"" + "x".repeat(200_000) + "\"}"))
                .statusCode(200);
    }

    /// Which of the two counts is not the same everywhere.
    @Test
    void fieldsTwice() {
        for (String body : new String[] {
            Gateway.chat(",\"model\":\"wide\""),
            Gateway.chat(",\"temperature\":0,\"temperature\":1"),
            "{\"model\":\"tiny\",\"messages\":[{\"role\":\"user\",\"content\":\"a\",\"content\":\"b\"}]}",
        }) {
            post(body).statusCode(400).body("error.message", containsString("twice"));
        }
        assertThat(scheduler.callSoFar()).isNull();
    }

    /// Where nothing asks for a number.
    @Test
    void numbersThatAreNoneInNestedFields() {
        for (String schema : new String[] {"{\"a\":NaN}", "{\"a\":[{\"b\":-Infinity}]}", "{\"a\":1e999}"}) {
            post(Gateway.chat(",\"tools\":[{\"type\":\"function\",\"function\":{\"name\":\"f\",\"parameters\":%s}}]"
                            .formatted(schema)))
                    .statusCode(400)
                    .body("error.type", equalTo("invalid_request_error"));
        }
        post(Gateway.chat(",\"stream\":true,\"stream_options\":{\"include_usage\":NaN}"))
                .statusCode(400);
    }

    @ParameterizedTest
    @ValueSource(
            strings = {
                ",\"stop\":\"\\udc00\"",
                ",\"stop\":[\"a\",\"\\ud800x\"]",
                ",\"tools\":[{\"type\":\"function\",\"function\":{\"name\":\"\\ud800\"}}]",
                ",\"tools\":[{\"type\":\"function\",\"function\":{\"name\":\"f\",\"description\":\"\\ud800\"}}]",
            })
    void halvesOfCharacters(String fields) {
        post(Gateway.chat(fields)).statusCode(400).body("error.type", equalTo("invalid_request_error"));
        assertThat(scheduler.callSoFar()).isNull();
    }

    @Test
    void aClientThatAsksWhetherToSend() throws Exception {
        String head = "POST " + CHAT + " HTTP/1.1\r\nhost: a\r\nauthorization: Bearer first-key\r\n"
                + "content-type: application/json\r\nexpect: 100-continue\r\ncontent-length: ";
        try (Socket socket = Gateway.connect(TinyGateway.port(), 0)) {
            String body = Gateway.chat("");
            socket.getOutputStream().write((head + body.length() + "\r\n\r\n").getBytes(StandardCharsets.US_ASCII));
            var lines = Gateway.lines(socket);
            assertThat(lines.readLine()).isEqualTo("HTTP/1.1 100 Continue");
            socket.getOutputStream().write(body.getBytes(StandardCharsets.US_ASCII));
            Gateway.readUntil(lines, "HTTP/1.1 200 OK");
        }
        assertThat(raw(head + 2 * TinyGateway.MAX_BODY + "\r\n\r\n"))
                .startsWith("HTTP/1.1 413")
                .contains("body_too_large");
    }

    @Test
    void requestsBehindOneAnother() throws Exception {
        String body = Gateway.chat("");
        String request = "POST " + CHAT + " HTTP/1.1\r\nhost: a\r\nauthorization: Bearer first-key\r\n"
                + "content-type: application/json\r\ncontent-length: " + body.length() + "\r\n\r\n" + body;
        String last = "GET /v1/models HTTP/1.1\r\nhost: a\r\nconnection: close\r\n\r\n";
        String all = raw(request.repeat(50) + last);
        assertThat(all.split("HTTP/1.1 200 OK", -1)).hasSize(51);
        assertThat(all).containsOnlyOnce("HTTP/1.1 401").endsWith("}}");
    }

    @Test
    void requestsThatAreResetAtOnce() throws Exception {
        assertThat(RapidReset.isStopped(Gateway.connect(TinyGateway.port(), 0), "http", CHAT, 20_000))
                .isTrue();
        post(Gateway.chat("")).statusCode(200);
    }

    @ParameterizedTest
    @CsvSource(
            delimiter = '|',
            quoteCharacter = '\0',
            value = {
                "messages|[]",
                "messages|5",
                "messages[0]|[5]",
                "messages[0].role|[{\"content\":\"a\"}]",
                "messages[0].role|[{\"role\":\"root\",\"content\":\"a\"}]",
                "messages[0].content|[{\"role\":\"user\"}]",
                "messages[0].content|[{\"role\":\"user\",\"content\":null}]",
                "messages[0].content|[{\"role\":\"user\",\"content\":7}]",
                "messages[0].content|[{\"role\":\"user\",\"content\":[{\"type\":\"image_url\"}]}]",
                "messages[0].content|[{\"role\":\"user\",\"content\":\"\\ud800\"}]",
                "messages[0].tool_calls|[{\"role\":\"assistant\",\"tool_calls\":[null]}]",
            })
    void badMessagesAreNamed(String parameter, String messages) {
        post("{\"model\":\"tiny\",\"messages\":" + messages + "}")
                .statusCode(400)
                .body("error.param", equalTo(parameter));
    }

    @Test
    void bodiesThatAreNoRequest() {
        for (String body : new String[] {
            "", "5", "null", "[]", "{", "{\"model\":", "{} {}", "{\"model\":\"tiny\"}x", "\u0000", "{\"a\":01}"
        }) {
            post(body).statusCode(400).body("error.type", equalTo("invalid_request_error"));
        }
        post("{\"messages\":[{\"role\":\"user\",\"content\":\"a\"}]}")
                .statusCode(400)
                .body("error.param", equalTo("model"));
        post("{\"model\":5}").statusCode(400).body("error.param", equalTo("model"));
    }

    @Test
    void deepAndWideJson() {
        post("[".repeat(100_000)).statusCode(400);
        post(Gateway.chat(",\"x\":" + "[".repeat(1_000) + "]".repeat(1_000))).statusCode(400);
        post(Gateway.chat(",\"" + "x".repeat(10_000) + "\":1")).statusCode(400);
        post(Gateway.chat(",\"seed\":" + "9".repeat(10_000))).statusCode(400);
    }

    @Test
    void bytesThatAreNoText() {
        byte[] body = Gateway.chat("").getBytes(StandardCharsets.UTF_8);
        for (byte[] bad :
                new byte[][] {{(byte) 0xff}, {(byte) 0xc0, (byte) 0x80}, {(byte) 0xed, (byte) 0xa0, (byte) 0x80}}) {
            byte[] broken = body.clone();
            System.arraycopy(bad, 0, broken, new String(body, StandardCharsets.UTF_8).indexOf("user"), bad.length);
            given().contentType("application/json")
                    .body(broken)
                    .post(CHAT)
                    .then()
                    .statusCode(400)
                    .body("error.message", equalTo("The body is not valid UTF-8."));
        }
    }

    @Test
    void aBodyTooLarge() throws Exception {
        post(Gateway.chat(",\"x\":\"" + "x".repeat(TinyGateway.MAX_BODY) + "\""))
                .statusCode(413)
                .body("error.code", equalTo("body_too_large"));
        // In chunks, of unknown length, by a client that does not listen before it has sent all.
        int port = ConfigProvider.getConfig().getValue("quarkus.http.test-port", Integer.class);
        try (Socket socket = Gateway.connect(port, 0)) {
            var out = socket.getOutputStream();
            out.write(
                    "POST /v1/completions HTTP/1.1\r\nhost: a\r\ncontent-type: application/json\r\nauthorization: Bearer first-key\r\ntransfer-encoding: chunked\r\n\r\n"
                            .getBytes(StandardCharsets.US_ASCII));
            byte[] chunk = ("1000\r\n" + "x".repeat(0x1000) + "\r\n").getBytes(StandardCharsets.US_ASCII);
            for (int i = 0; i < 1_000; i++) {
                out.write(chunk);
            }
            out.write("0\r\n\r\n".getBytes(StandardCharsets.US_ASCII));
            var lines = Gateway.lines(socket);
            assertThat(lines.readLine()).contains("413");
            Gateway.readUntil(lines, "body_too_large");
        }
    }

    @Test
    void headersTooLarge() {
        given().get("/v1/models?" + "x".repeat(30_000))
                .then()
                .statusCode(431)
                .body("error.code", equalTo("headers_too_large"));
        given().header("x-large", "x".repeat(30_000))
                .get("/v1/models")
                .then()
                .statusCode(431)
                .body("error.code", equalTo("headers_too_large"));
    }

    @Test
    void routesMethodsAndTypes() {
        given().get("/v1/nothing").then().statusCode(404).body("error.code", equalTo("unknown_url"));
        given().get("/").then().statusCode(404).body("error.code", equalTo("unknown_url"));
        given().get(CHAT).then().statusCode(405).body("error.code", equalTo("method_not_allowed"));
        given().contentType("text/plain")
                .body("{}")
                .post(CHAT)
                .then()
                .statusCode(415)
                .body("error.code", equalTo("unsupported_media_type"));
        given().get("/v1/models/../../etc/passwd").then().statusCode(404).body("error", notNullValue());
        given().contentType("application/json")
                .header("content-encoding", "gzip")
                .body(Gateway.chat(""))
                .post(CHAT)
                .then()
                .statusCode(415)
                .body("error.code", equalTo("unsupported_media_type"));
    }

    /// Addresses that are none, or lead elsewhere than they seem to.
    @ParameterizedTest
    @ValueSource(
            strings = {
                "/v1/models/%",
                "/v1/models/%zz",
                "/v1/models/%00",
                "/v1/models/%2e%2e%2fetc%2fpasswd",
                "/v1/models/<tiny>",
                "/v1/models/..;/tiny",
                "/v1/models/%ff",
                "*",
                "v1/models",
            })
    void addressesThatAreNone(String address) throws Exception {
        String all = raw("GET " + address
                + " HTTP/1.1\r\nhost: a\r\nauthorization: Bearer first-key\r\nconnection: close\r\n\r\n");
        assertThat(all)
                .containsPattern("^HTTP/1.1 40[04]")
                .contains("\"error\":{")
                .contains("invalid_request_error");
    }

    private static String raw(String request) throws IOException {
        try (Socket socket = Gateway.connect(TinyGateway.port(), 0)) {
            socket.getOutputStream().write(request.getBytes(StandardCharsets.US_ASCII));
            return new String(socket.getInputStream().readAllBytes(), StandardCharsets.UTF_8);
        }
    }

    /// Three bytes of text that become a hundred of memory, past what there is for bodies.
    @Test
    void treesTooLargeForTheMemory() {
        int past = TinyGateway.MAX_BODIES_HELD / 128;
        post(Gateway.chat(",\"x\":[" + "{},".repeat(past) + "0]"))
                .statusCode(400)
                .body("error.message", containsString("memory"));
        post(Gateway.chat(",\"x\":[" + "{},".repeat(past / 2) + "0]")).statusCode(200);
    }

    /// Each of these is answered with the envelope, and its connection closed: what follows would be misunderstood.
    @ParameterizedTest
    @ValueSource(
            strings = {
                "GET /v1/models HTTP/1.1\r\n",
                "GET /v1/models HTTP/1.1\r\nhost: a\r\nhost: b\r\n",
                "POST /v1/chat/completions HTTP/1.1\r\nhost: a\r\ntransfer-encoding: xchunked\r\n",
            })
    void requestsThatMayBeReadInTwoWays(String head) throws Exception {
        String next = "GET /v1/models HTTP/1.1\r\nhost: a\r\n\r\n";
        assertThat(raw(head + "\r\n" + next))
                .startsWith("HTTP/1.1 400")
                .contains("\"error\":{")
                .doesNotContain("HTTP/1.1 2");
    }

    @Test
    void modelsThatAreNotHere() {
        for (String model : new String[] {"nothing", "../tiny", "", "m".repeat(100_000)}) {
            post("{\"model\":\"%s\",\"messages\":[{\"role\":\"user\",\"content\":\"a\"}]}".formatted(model))
                    .statusCode(404)
                    .body("error.code", equalTo("model_not_found"))
                    .body("error.message.length()", lessThan(200))
                    .body("error.param", equalTo("model"));
        }
        post("{\"model\":\"%s\",\"messages\":[{\"role\":\"user\",\"content\":\"a\"}]}".formatted(TinyText.NO_CHAT))
                .statusCode(400)
                .body("error.param", equalTo("model"));
    }

    @Test
    void promptsBeyondTheContext() {
        for (int length : new int[] {FakeScheduler.CONTEXT - 3, 200_000}) {
            post("{\"model\":\"tiny\",\"messages\":[{\"role\":\"user\",\"content\":\"%s\"}]}"
                            .formatted("x".repeat(length)))
                    .statusCode(400)
                    .body("error.code", equalTo("context_length_exceeded"));
        }
        post(Gateway.chat(",\"max_tokens\":4096"))
                .statusCode(400)
                .body("error.code", equalTo("context_length_exceeded"))
                .body("error.message", not(equalTo("")));
    }
}
