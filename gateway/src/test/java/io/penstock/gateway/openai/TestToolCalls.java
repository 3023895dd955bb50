package io.penstock.gateway.openai;

import static io.penstock.gateway.fake.TinyGateway.given;
import static org.assertj.core.api.Assertions.assertThat;
import static org.hamcrest.Matchers.equalTo;
import static org.hamcrest.Matchers.matchesPattern;
import static org.hamcrest.Matchers.nullValue;
import static org.hamcrest.Matchers.startsWith;

import io.penstock.gateway.fake.FakeScheduler;
import io.penstock.gateway.fake.FakeSchedulers;
import io.penstock.gateway.fake.Script;
import io.penstock.gateway.fake.TinyGateway;
import io.penstock.gateway.fake.TinyTokenizer;
import io.quarkus.test.junit.QuarkusTest;
import io.quarkus.test.junit.TestProfile;
import io.restassured.path.json.JsonPath;
import io.restassured.response.ValidatableResponse;
import java.util.ArrayList;
import java.util.List;
import org.junit.jupiter.api.BeforeEach;
import org.junit.jupiter.api.Test;

/// Thoughts and calls of functions, told apart from what the model says.
@QuarkusTest
@TestProfile(TinyGateway.class)
class TestToolCalls {
    private static final String TOOLS =
            ",\"tools\":[{\"type\":\"function\",\"function\":{\"name\":\"clock\",\"parameters\":{}}}]";
    private static final String ANSWER = "<think>\nwhat time?\n</think>\n\nLet me see. "
            + "<tool_call>\n{\"name\": \"clock\", \"arguments\": {\"zone\": \"UTC\"}}\n</tool_call>\n"
            + "<tool_call>\n{\"name\": \"clock\", \"arguments\": {}}\n</tool_call>";

    private final FakeScheduler scheduler = FakeSchedulers.first();

    @BeforeEach
    void ready() {
        Gateway.awaitReady();
        scheduler.plays(Script.saying(ANSWER));
    }

    private static ValidatableResponse chat(String fields) {
        return given().contentType("application/json")
                .body(Gateway.chat(fields).replace("tiny", "thinker"))
                .post("/v1/chat/completions")
                .then();
    }

    @Test
    void aWholeAnswer() {
        chat(TOOLS)
                .statusCode(200)
                .body("choices[0].message.reasoning_content", equalTo("what time?"))
                .body("choices[0].message.content", equalTo("Let me see."))
                .body("choices[0].message.tool_calls.size()", equalTo(2))
                .body("choices[0].message.tool_calls[0].id", matchesPattern("call_[0-9a-f]{24}"))
                .body("choices[0].message.tool_calls[0].type", equalTo("function"))
                .body("choices[0].message.tool_calls[0].function.name", equalTo("clock"))
                .body("choices[0].message.tool_calls[0].function.arguments", equalTo("{\"zone\": \"UTC\"}"))
                .body("choices[0].message.tool_calls[1].function.arguments", equalTo("{}"))
                .body("choices[0].finish_reason", equalTo("tool_calls"));
    }

    @Test
    void aCallAloneHasNoContent() {
        scheduler.plays(Script.saying("<tool_call>\n{\"name\": \"clock\", \"arguments\": {}}\n</tool_call>"));
        chat(TOOLS)
                .body("choices[0].message.content", nullValue())
                .body("choices[0].message.reasoning_content", nullValue())
                .body("choices[0].finish_reason", equalTo("tool_calls"));
    }

    @Test
    void aStream() {
        StringBuilder thoughts = new StringBuilder();
        StringBuilder text = new StringBuilder();
        List<StringBuilder> arguments = new ArrayList<>();
        String stream = chat(TOOLS + ",\"stream\":true").extract().asString();
        String reason = null;
        for (String event : stream.split("\n\n")) {
            if (event.equals("data: [DONE]")) {
                break;
            }
            JsonPath choice = JsonPath.from(event.substring("data: ".length())).setRootPath("choices[0]");
            append(thoughts, choice.getString("delta.reasoning_content"));
            append(text, choice.getString("delta.content"));
            if (choice.get("delta.tool_calls") != null) {
                int index = choice.getInt("delta.tool_calls[0].index");
                if (index == arguments.size()) {
                    arguments.add(new StringBuilder());
                    assertThat(choice.getString("delta.tool_calls[0].id")).matches("call_[0-9a-f]{24}");
                    assertThat(choice.getString("delta.tool_calls[0].type")).isEqualTo("function");
                    assertThat(choice.getString("delta.tool_calls[0].function.name"))
                            .isEqualTo("clock");
                } else {
                    assertThat(choice.getString("delta.tool_calls[0].id")).isNull();
                }
                append(arguments.get(index), choice.getString("delta.tool_calls[0].function.arguments"));
            }
            reason = choice.getString("finish_reason") == null ? reason : choice.getString("finish_reason");
        }
        assertThat(thoughts).hasToString("what time?");
        assertThat(text).hasToString("Let me see.");
        assertThat(arguments).extracting(StringBuilder::toString).containsExactly("{\"zone\": \"UTC\"}", "{}");
        assertThat(reason).isEqualTo("tool_calls");
        assertThat(stream).endsWith("data: [DONE]\n\n");
    }

    private static void append(StringBuilder to, String text) {
        to.append(text == null ? "" : text);
    }

    @Test
    void logprobsCoverEveryToken() {
        chat(TOOLS + ",\"logprobs\":true")
                .body("choices[0].logprobs.content.size()", equalTo(ANSWER.length()))
                .body("choices[0].message.content", equalTo("Let me see."));
    }

    @Test
    void withoutToolsACallIsText() {
        for (String none : List.of("", TOOLS + ",\"tool_choice\":\"none\"")) {
            chat(none)
                    .body("choices[0].message.reasoning_content", equalTo("what time?"))
                    .body("choices[0].message.content", startsWith("Let me see. <tool_call>"))
                    .body("choices[0].message.tool_calls", nullValue())
                    .body("choices[0].finish_reason", equalTo("stop"));
        }
    }

    @Test
    void anAnswerCutShortKeepsWhatItHas() {
        chat(TOOLS + ",\"max_tokens\":100")
                .body("choices[0].message.tool_calls.size()", equalTo(1))
                .body("choices[0].message.tool_calls[0].function.arguments", startsWith("{\"zone\""))
                .body("choices[0].finish_reason", equalTo("length"));
    }

    @Test
    void callsAndTheirResultsComeBackAsTheTemplateWantsThem() throws InterruptedException {
        String call = "{\"id\":\"call_1\",\"type\":\"function\",\"function\":{\"name\":\"clock\",\"arguments\":%s}}";
        String body = "{\"model\":\"thinker\",\"messages\":[{\"role\":\"user\",\"content\":\"hi\"},"
                + "{\"role\":\"assistant\",\"content\":null,\"tool_calls\":[" + call
                + "]},{\"role\":\"tool\",\"tool_call_id\":\"call_1\",\"content\":\"noon\"}]" + TOOLS + "}";
        given().contentType("application/json")
                .body(body.formatted("\"{\\\"zone\\\": \\\"UTC\\\"}\""))
                .post("/v1/chat/completions")
                .then()
                .statusCode(200);
        assertThat(new TinyTokenizer().spell(scheduler.nextCall().request().getPromptTokensList()))
                .contains("arguments={zone=UTC}")
                .contains("<|tool|>noon");
        given().contentType("application/json")
                .body(body.formatted("\"{zone\""))
                .post("/v1/chat/completions")
                .then()
                .statusCode(400)
                .body("error.param", equalTo("messages[1].tool_calls"));
    }
}
