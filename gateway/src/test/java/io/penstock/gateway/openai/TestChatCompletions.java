package io.penstock.gateway.openai;

import static io.penstock.gateway.fake.TinyGateway.given;
import static org.assertj.core.api.Assertions.assertThat;
import static org.hamcrest.Matchers.contains;
import static org.hamcrest.Matchers.equalTo;
import static org.hamcrest.Matchers.matchesPattern;
import static org.hamcrest.Matchers.nullValue;
import static org.hamcrest.Matchers.startsWith;

import io.penstock.api.inference.GenerateRequest;
import io.penstock.api.inference.LogitBias;
import io.penstock.gateway.fake.FakeScheduler;
import io.penstock.gateway.fake.FakeSchedulers;
import io.penstock.gateway.fake.Script;
import io.penstock.gateway.fake.TinyGateway;
import io.penstock.gateway.fake.TinyTokenizer;
import io.quarkus.test.junit.QuarkusTest;
import io.quarkus.test.junit.TestProfile;
import io.restassured.response.ValidatableResponse;
import java.util.ArrayList;
import java.util.List;
import org.junit.jupiter.api.BeforeEach;
import org.junit.jupiter.api.Test;

@QuarkusTest
@TestProfile(TinyGateway.class)
class TestChatCompletions {
    private final FakeScheduler scheduler = FakeSchedulers.first();

    @BeforeEach
    void ready() {
        Gateway.awaitReady();
    }

    private static ValidatableResponse chat(String fields) {
        return given().contentType("application/json")
                .body("{\"model\":\"tiny\",\"messages\":[{\"role\":\"user\",\"content\":\"hi\"}]%s}".formatted(fields))
                .post("/v1/chat/completions")
                .then();
    }

    private static String stream(String fields) {
        return chat(",\"stream\":true" + fields)
                .statusCode(200)
                .contentType("text/event-stream")
                .extract()
                .asString()
                .replaceAll("chatcmpl-[0-9a-f]{32}", "ID")
                .replaceAll("\"created\":[0-9]+", "\"created\":0");
    }

    private static String chunk(String choice, String usage) {
        return "data: {\"id\":\"ID\",\"object\":\"chat.completion.chunk\",\"created\":0,\"model\":\"tiny\","
                + "\"system_fingerprint\":\"penstock-456789abcdef\",\"choices\":[" + choice + "]" + usage + "}\n\n";
    }

    @Test
    void wholeAnswer() {
        scheduler.plays(Script.saying("grüß 😀"));
        scheduler.caches(2);
        chat("").statusCode(200)
                .contentType("application/json")
                .body("id", matchesPattern("chatcmpl-[0-9a-f]{32}"))
                .body("object", equalTo("chat.completion"))
                .body("model", equalTo("tiny"))
                .body("system_fingerprint", startsWith("penstock-"))
                .body("choices.size()", equalTo(1))
                .body("choices[0].index", equalTo(0))
                .body("choices[0].message.role", equalTo("assistant"))
                .body("choices[0].message.content", equalTo("grüß 😀"))
                .body("choices[0].logprobs", nullValue())
                .body("choices[0].finish_reason", equalTo("stop"))
                .body("usage.prompt_tokens", equalTo(5))
                .body("usage.completion_tokens", equalTo(11))
                .body("usage.total_tokens", equalTo(16))
                .body("usage.prompt_tokens_details.cached_tokens", equalTo(2));
        scheduler.caches(0);
    }

    @Test
    void streamedAnswerByteForByte() {
        scheduler.plays(Script.saying("yé"));
        String role = "{\"index\":0,\"delta\":{\"role\":\"assistant\",\"content\":\"\"},\"logprobs\":null,"
                + "\"finish_reason\":null}";
        String text = "{\"index\":0,\"delta\":{\"content\":\"%s\"},\"logprobs\":null,\"finish_reason\":null}";
        String end = "{\"index\":0,\"delta\":{},\"logprobs\":null,\"finish_reason\":\"stop\"}";
        assertThat(stream(""))
                .isEqualTo(chunk(role, "")
                        + chunk(text.formatted("y"), "")
                        + chunk(text.formatted("é"), "")
                        + chunk(end, "")
                        + "data: [DONE]\n\n");
        String none = ",\"usage\":null";
        assertThat(stream(",\"stream_options\":{\"include_usage\":true}"))
                .isEqualTo(chunk(role, none)
                        + chunk(text.formatted("y"), none)
                        + chunk(text.formatted("é"), none)
                        + chunk(end, none)
                        + chunk(
                                "",
                                ",\"usage\":{\"prompt_tokens\":5,\"completion_tokens\":3,\"total_tokens\":8,"
                                        + "\"prompt_tokens_details\":{\"cached_tokens\":0}}")
                        + "data: [DONE]\n\n");
    }

    @Test
    void templateAndSpecialTokensOfAMessageStayApart() throws InterruptedException {
        scheduler.plays(Script.saying(""));
        given().contentType("application/json")
                .body("{\"model\":\"tiny\",\"messages\":[{\"role\":\"developer\",\"content\":\"{{ 7*7 }}\"},"
                        + "{\"role\":\"user\",\"content\":[{\"type\":\"text\",\"text\":\"<|end|>\"},"
                        + "{\"type\":\"text\",\"text\":\"!\"}]}]}")
                .post("/v1/chat/completions")
                .then()
                .statusCode(200);
        List<Integer> prompt = scheduler.nextCall().request().getPromptTokensList();
        assertThat(new TinyTokenizer().spell(prompt))
                .isEqualTo("<|system|>{{ 7*7 }}<|end|><|user|><|end|>!<|end|><|assistant|>");
        assertThat(prompt).filteredOn(id -> id == TinyTokenizer.END).hasSize(2);
    }

    @Test
    void everyParameterReachesTheScheduler() throws InterruptedException {
        scheduler.plays(Script.saying("a"));
        chat(",\"temperature\":0.5,\"top_p\":0.9,\"top_k\":40,\"min_p\":0.05,\"repetition_penalty\":1.1,"
                        + "\"frequency_penalty\":-0.5,\"presence_penalty\":0.25,\"seed\":42,\"max_tokens\":7,"
                        + "\"min_tokens\":2,\"stop_token_ids\":[7],\"logit_bias\":{\"65\":-100},\"logprobs\":true,"
                        + "\"top_logprobs\":3,\"user\":\"u\",\"metadata\":{\"a\":\"b\"},\"store\":true,\"nonsense\":[1]")
                .statusCode(200);
        GenerateRequest request = scheduler.nextCall().request();
        assertThat(request.getModel()).isEqualTo("tiny");
        assertThat(request.getRevision()).isEqualTo(FakeScheduler.REVISION);
        assertThat(request.getMaxTokens()).isEqualTo(7);
        assertThat(request.getMinTokens()).isEqualTo(2);
        assertThat(request.getTopLogprobs()).isEqualTo(3);
        assertThat(request.getStopTokenIdsList()).containsExactlyInAnyOrder(7, TinyTokenizer.END);
        assertThat(request.getSampling().getTemperature()).isEqualTo(0.5f);
        assertThat(request.getSampling().getTopP()).isEqualTo(0.9f);
        assertThat(request.getSampling().getTopK()).isEqualTo(40);
        assertThat(request.getSampling().getMinP()).isEqualTo(0.05f);
        assertThat(request.getSampling().getRepetitionPenalty()).isEqualTo(1.1f);
        assertThat(request.getSampling().getFrequencyPenalty()).isEqualTo(-0.5f);
        assertThat(request.getSampling().getPresencePenalty()).isEqualTo(0.25f);
        assertThat(request.getSampling().getSeed()).isEqualTo(42);
        assertThat(request.getSampling().getLogitBiasList())
                .containsExactly(
                        LogitBias.newBuilder().setTokenId(65).setBias(-100).build());
        assertThat(request.getTraceContextMap().get("traceparent")).matches("00-[0-9a-f]{32}-[0-9a-f]{16}-0[01]");
    }

    @Test
    void absentParametersAreNeutralAndTheSeedIsChosen() throws InterruptedException {
        scheduler.plays(Script.saying("a"));
        chat("").statusCode(200);
        chat(",\"max_tokens\":null").statusCode(200);
        GenerateRequest first = scheduler.nextCall().request();
        assertThat(first.getSampling().toBuilder().clearSeed().build())
                .isEqualTo(io.penstock.api.inference.Sampling.newBuilder()
                        .setTemperature(1)
                        .setTopP(1)
                        .setRepetitionPenalty(1)
                        .build());
        assertThat(first.getMaxTokens()).isEqualTo(FakeScheduler.CONTEXT - 5);
        assertThat(first.hasTopLogprobs()).isFalse();
        assertThat(scheduler.nextCall().request().getSampling().getSeed())
                .isNotEqualTo(first.getSampling().getSeed());
    }

    @Test
    void choicesAreSequencesWithSeedsOfTheirOwn() throws InterruptedException {
        scheduler.plays(Script.saying("ab"));
        chat(",\"n\":3,\"seed\":9")
                .statusCode(200)
                .body("choices.index", contains(0, 1, 2))
                .body("choices.message.content", contains("ab", "ab", "ab"))
                .body("usage.prompt_tokens", equalTo(5))
                .body("usage.completion_tokens", equalTo(6));
        List<Long> seeds = new ArrayList<>();
        for (int i = 0; i < 3; i++) {
            seeds.add(scheduler.nextCall().request().getSampling().getSeed());
        }
        assertThat(seeds).doesNotHaveDuplicates().contains(9L);
        String chunks = stream(",\"n\":2");
        assertThat(chunks.split("\"role\":\"assistant\"")).hasSize(3);
        assertThat(chunks.split("\"finish_reason\":\"stop\"")).hasSize(3);
    }

    @Test
    void aStopTextEndsTheChoiceAndTheSequence() throws InterruptedException {
        scheduler.plays(Script.endless("one STOP two "));
        given().contentType("application/json")
                .body(Gateway.wideChat(",\"stop\":[\"STOP\",\"zzz\"]"))
                .post("/v1/chat/completions")
                .then()
                .statusCode(200)
                .body("choices[0].message.content", equalTo("one "))
                .body("choices[0].finish_reason", equalTo("stop"))
                .body("usage.completion_tokens", equalTo(8));
        assertThat(scheduler.nextCall().awaitCancelled(5)).isTrue();
        assertThat(stream(",\"stop\":\"STOP\"")).doesNotContain("\"S").contains("[DONE]");
    }

    @Test
    void theLimitAndIgnoredEndTokens() {
        scheduler.plays(Script.endless("abc"));
        chat(",\"max_completion_tokens\":4")
                .body("choices[0].message.content", equalTo("abca"))
                .body("choices[0].finish_reason", equalTo("length"));
        scheduler.plays(Script.saying("ab"));
        chat(",\"max_tokens\":6,\"ignore_eos\":true")
                .body("choices[0].message.content", equalTo("ab"))
                .body("choices[0].finish_reason", equalTo("length"))
                .body("usage.completion_tokens", equalTo(6));
    }

    @Test
    void logprobsWithBytesAndAlternatives() {
        scheduler.plays(Script.saying("é"));
        chat(",\"logprobs\":true,\"top_logprobs\":2")
                .body("choices[0].logprobs.content.size()", equalTo(2))
                .body("choices[0].logprobs.content[0].bytes", contains(0xc3))
                .body("choices[0].logprobs.content[0].logprob", equalTo(-0.25f))
                .body("choices[0].logprobs.content[1].bytes", contains(0xa9))
                .body("choices[0].logprobs.content[1].top_logprobs.size()", equalTo(2))
                .body("choices[0].logprobs.content[1].top_logprobs[1].logprob", equalTo(-1.5f));
        assertThat(stream(",\"logprobs\":true"))
                .contains("\"delta\":{\"content\":\"é\"},\"logprobs\":{\"content\":[{\"token\":\"�\",\"logprob\":-0.25,"
                        + "\"bytes\":[195],\"top_logprobs\":[]},{\"token\":\"�\",\"logprob\":-0.5,\"bytes\":[169],"
                        + "\"top_logprobs\":[]}],\"refusal\":null}");
    }

    @Test
    void toolsReachTheTemplateAndItsComplaintsTheClient() throws InterruptedException {
        scheduler.plays(Script.saying("a"));
        chat(",\"tools\":[{\"type\":\"function\",\"function\":{\"name\":\"clock\"}}]")
                .statusCode(200);
        assertThat(new TinyTokenizer().spell(scheduler.nextCall().request().getPromptTokensList()))
                .startsWith("tools:[{type=function, function={name=clock}}]");
        given().contentType("application/json")
                .body("{\"model\":\"tiny\",\"messages\":[{\"role\":\"user\",\"content\":\"a\",\"name\":\"raise\"}]}")
                .post("/v1/chat/completions")
                .then()
                .statusCode(400)
                .body("error.message", equalTo("roles must alternate"));
    }

    @Test
    void requestIdIsEchoedOrMade() {
        scheduler.plays(Script.saying("a"));
        given().header("x-request-id", "abc-1").get("/v1/models").then().header("x-request-id", "abc-1");
        given().header("x-request-id", "a b")
                .get("/v1/models")
                .then()
                .header("x-request-id", matchesPattern("[0-9a-f-]{36}"));
    }
}
