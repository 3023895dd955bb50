package io.penstock.gateway.openai;

import static io.penstock.gateway.fake.TinyGateway.given;
import static org.assertj.core.api.Assertions.assertThat;
import static org.hamcrest.Matchers.contains;
import static org.hamcrest.Matchers.equalTo;
import static org.hamcrest.Matchers.matchesPattern;

import io.penstock.gateway.fake.FakeScheduler;
import io.penstock.gateway.fake.FakeSchedulers;
import io.penstock.gateway.fake.Script;
import io.penstock.gateway.fake.TinyGateway;
import io.quarkus.test.junit.QuarkusTest;
import io.quarkus.test.junit.TestProfile;
import io.restassured.path.json.JsonPath;
import io.restassured.response.ValidatableResponse;
import org.junit.jupiter.api.BeforeEach;
import org.junit.jupiter.api.Test;

@QuarkusTest
@TestProfile(TinyGateway.class)
class TestTextCompletions {
    private final FakeScheduler scheduler = FakeSchedulers.first();

    @BeforeEach
    void ready() {
        Gateway.awaitReady();
    }

    private static ValidatableResponse complete(String fields) {
        return given().contentType("application/json")
                .body("{\"model\":\"tiny\"" + fields + "}")
                .post("/v1/completions")
                .then();
    }

    /// @return what a stream says, chat or text, first choice
    static String contents(String stream) {
        StringBuilder contents = new StringBuilder();
        for (String event : stream.split("\n\n")) {
            if (event.startsWith("data: {\"id\"")) {
                JsonPath chunk = JsonPath.from(event.substring("data: ".length()));
                String content = chunk.getString("choices[0].delta.content");
                String text = chunk.getString("choices[0].text");
                contents.append(content == null ? "" : content).append(text == null ? "" : text);
            }
        }
        return contents.toString();
    }

    @Test
    void aStringPrompt() throws InterruptedException {
        scheduler.plays(Script.endless("xyz"));
        complete(",\"prompt\":\"<|end|>é\"")
                .statusCode(200)
                .body("id", matchesPattern("cmpl-[0-9a-f]{32}"))
                .body("object", equalTo("text_completion"))
                .body("choices[0].text", equalTo("xyzxyzxyzxyzxyzx"))
                .body("choices[0].finish_reason", equalTo("length"))
                .body("usage.prompt_tokens", equalTo(9));
        assertThat(scheduler.nextCall().request().getPromptTokensList())
                .startsWith((int) '<')
                .endsWith(0xc3, 0xa9);
    }

    @Test
    void promptsOfTokenIdsAndSeveralPrompts() throws InterruptedException {
        scheduler.plays(Script.saying("ok"));
        complete(",\"prompt\":[104,105]").body("choices[0].text", equalTo("ok"));
        assertThat(scheduler.nextCall().request().getPromptTokensList()).containsExactly(104, 105);
        complete(",\"prompt\":[\"a\",[98,99]],\"n\":2,\"echo\":true")
                .body("choices.index", contains(0, 1, 2, 3))
                .body("choices.text", contains("aok", "aok", "bcok", "bcok"))
                .body("usage.prompt_tokens", equalTo(3));
    }

    @Test
    void streams() {
        scheduler.plays(Script.saying("ok"));
        String stream = complete(",\"prompt\":\"p\",\"stream\":true,\"echo\":true")
                .statusCode(200)
                .extract()
                .asString();
        assertThat(contents(stream)).isEqualTo("pok");
        assertThat(stream)
                .contains("\"object\":\"text_completion\"")
                .contains("\"text\":\"\",\"logprobs\":null,\"finish_reason\":\"stop\"}]}\n\ndata: [DONE]\n\n");
    }

    @Test
    void logprobsInTheOldShape() {
        scheduler.plays(Script.saying("ab"));
        complete(",\"prompt\":\"p\",\"logprobs\":1")
                .body("choices[0].logprobs.tokens", contains("a", "b"))
                .body("choices[0].logprobs.token_logprobs", contains(-0.25f, -0.5f))
                .body("choices[0].logprobs.top_logprobs[1].b", equalTo(-0.5f))
                .body("choices[0].logprobs.text_offset", contains(0, 1));
        complete(",\"prompt\":\"p\",\"logprobs\":0,\"return_tokens_as_token_ids\":true")
                .body("choices[0].logprobs.tokens", contains("token_id:97", "token_id:98"));
    }

    @Test
    void badPromptsAreNamed() {
        for (String prompt : new String[] {
            "",
            ",\"prompt\":[]",
            ",\"prompt\":\"\"",
            ",\"prompt\":5",
            ",\"prompt\":[1,\"a\"]",
            ",\"prompt\":[999]",
            ",\"prompt\":[-1]",
            ",\"prompt\":[1.5]",
            ",\"prompt\":[[]]",
            ",\"prompt\":[99999999999]"
        }) {
            complete(prompt).statusCode(400).body("error.param", equalTo("prompt"));
        }
        complete(",\"prompt\":\"a\",\"echo\":true,\"logprobs\":1")
                .statusCode(400)
                .body("error.param", equalTo("logprobs"));
        complete(",\"prompt\":\"" + "x".repeat(FakeScheduler.CONTEXT) + "\"")
                .statusCode(400)
                .body("error.code", equalTo("context_length_exceeded"))
                .body("error.param", equalTo("prompt"));
        complete(",\"prompt\":\"a\",\"best_of\":3").statusCode(400).body("error.param", equalTo("best_of"));
    }
}
