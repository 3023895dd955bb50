package io.penstock.gateway.openai;

import static org.assertj.core.api.Assertions.assertThat;
import static org.assertj.core.api.Assertions.assertThatThrownBy;

import com.openai.client.OpenAIClient;
import com.openai.client.okhttp.OpenAIOkHttpClient;
import com.openai.core.http.StreamResponse;
import com.openai.errors.BadRequestException;
import com.openai.errors.NotFoundException;
import com.openai.models.chat.completions.ChatCompletion;
import com.openai.models.chat.completions.ChatCompletionChunk;
import com.openai.models.chat.completions.ChatCompletionCreateParams;
import com.openai.models.chat.completions.ChatCompletionStreamOptions;
import com.openai.models.completions.CompletionCreateParams;
import io.penstock.gateway.fake.FakeScheduler;
import io.penstock.gateway.fake.FakeSchedulers;
import io.penstock.gateway.fake.Script;
import io.penstock.gateway.fake.TinyGateway;
import io.quarkus.test.junit.QuarkusTest;
import io.quarkus.test.junit.TestProfile;
import java.util.List;
import org.eclipse.microprofile.config.ConfigProvider;
import org.junit.jupiter.api.AfterEach;
import org.junit.jupiter.api.BeforeEach;
import org.junit.jupiter.api.Test;

/// The official Java client, as it comes.
@QuarkusTest
@TestProfile(TinyGateway.class)
class TestJavaClient {
    private final FakeScheduler scheduler = FakeSchedulers.first();
    private OpenAIClient client;

    @BeforeEach
    void connect() {
        Gateway.awaitReady();
        int port = ConfigProvider.getConfig().getValue("quarkus.http.test-port", Integer.class);
        client = OpenAIOkHttpClient.builder()
                .baseUrl("http://localhost:" + port + "/v1")
                .apiKey(TinyGateway.KEY)
                .responseValidation(true)
                .build();
    }

    @AfterEach
    void disconnect() {
        client.close();
    }

    private static ChatCompletionCreateParams.Builder chat() {
        return ChatCompletionCreateParams.builder()
                .model("tiny")
                .addSystemMessage("be short")
                .addUserMessage("hi");
    }

    @Test
    void chats() {
        scheduler.plays(Script.saying("hello"));
        ChatCompletion answer = client.chat()
                .completions()
                .create(chat().temperature(0.5)
                        .maxCompletionTokens(20)
                        .logprobs(true)
                        .topLogprobs(2)
                        .build());
        assertThat(answer.choices().getFirst().message().content()).contains("hello");
        assertThat(answer.choices().getFirst().finishReason()).isEqualTo(ChatCompletion.Choice.FinishReason.STOP);
        assertThat(answer.usage().orElseThrow().completionTokens()).isEqualTo(5);
        assertThat(answer.choices()
                        .getFirst()
                        .logprobs()
                        .orElseThrow()
                        .content()
                        .orElseThrow())
                .hasSize(5);
    }

    @Test
    void streams() {
        scheduler.plays(Script.saying("grüße"));
        StringBuilder text = new StringBuilder();
        long tokens = 0;
        ChatCompletionCreateParams request = chat().streamOptions(
                        ChatCompletionStreamOptions.builder().includeUsage(true).build())
                .build();
        try (StreamResponse<ChatCompletionChunk> stream =
                client.chat().completions().createStreaming(request)) {
            for (ChatCompletionChunk chunk : stream.stream().toList()) {
                chunk.choices().forEach(choice -> choice.delta().content().ifPresent(text::append));
                tokens += chunk.usage().map(usage -> usage.completionTokens()).orElse(0L);
            }
        }
        assertThat(text).hasToString("grüße");
        assertThat(tokens).isEqualTo(7);
    }

    @Test
    void completesAndLists() {
        scheduler.plays(Script.saying("ok"));
        assertThat(client.completions()
                        .create(CompletionCreateParams.builder()
                                .model("tiny")
                                .prompt("p")
                                .build())
                        .choices()
                        .getFirst()
                        .text())
                .isEqualTo("ok");
        assertThat(client.models().list().data())
                .extracting(model -> model.id())
                .contains("tiny");
        assertThat(client.models().retrieve("tiny").ownedBy()).isEqualTo("penstock");
    }

    @Test
    void errorsAreOfTheClientsTypes() {
        assertThatThrownBy(() ->
                        client.chat().completions().create(chat().model("none").build()))
                .isInstanceOf(NotFoundException.class);
        assertThatThrownBy(() -> client.chat()
                        .completions()
                        .create(chat().stop(ChatCompletionCreateParams.Stop.ofStrings(List.of("")))
                                .build()))
                .isInstanceOfSatisfying(
                        BadRequestException.class, e -> assertThat(e.param()).contains("stop"));
    }
}
