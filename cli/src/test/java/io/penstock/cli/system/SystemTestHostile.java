package io.penstock.cli.system;

import static org.assertj.core.api.Assertions.assertThat;

import com.fasterxml.jackson.databind.JsonNode;
import java.net.http.HttpResponse;
import org.junit.jupiter.api.BeforeEach;
import org.junit.jupiter.api.Test;
import org.junit.jupiter.api.extension.RegisterExtension;
import org.junit.jupiter.params.ParameterizedTest;
import org.junit.jupiter.params.provider.CsvSource;

/// What a hostile client sends is refused with a reason, and nobody else notices.
final class SystemTestHostile {
    @RegisterExtension
    static final SharedCluster CLUSTER = new SharedCluster(1, 1);

    private Client client;

    @BeforeEach
    void connect() {
        client = new Client(CLUSTER.get().gateway());
    }

    @ParameterizedTest(name = "{0}: {1}")
    @CsvSource(delimiter = '|', quoteCharacter = '~', textBlock = """
            400 | {"model":"M","messages":[]}
            400 | {"model":"M"}
            400 | {"messages":
            400 | []
            400 | {"model":"M","messages":[{"role":"user","content":"a"}],"temperature":-1}
            400 | {"model":"M","messages":[{"role":"user","content":"a"}],"temperature":NaN}
            400 | {"model":"M","messages":[{"role":"user","content":"a"}],"temperature":"hot"}
            400 | {"model":"M","messages":[{"role":"user","content":"a"}],"top_p":0}
            400 | {"model":"M","messages":[{"role":"user","content":"a"}],"top_p":1e999}
            400 | {"model":"M","messages":[{"role":"user","content":"a"}],"top_k":-2}
            400 | {"model":"M","messages":[{"role":"user","content":"a"}],"n":1000000}
            400 | {"model":"M","messages":[{"role":"user","content":"a"}],"max_tokens":0}
            400 | {"model":"M","messages":[{"role":"user","content":"a"}],"max_tokens":-5}
            400 | {"model":"M","messages":[{"role":"user","content":"a"}],"max_tokens":99999999}
            400 | {"model":"M","messages":[{"role":"user","content":"a"}],"max_tokens":5000000000}
            400 | {"model":"M","messages":[{"role":"user","content":"a"}],"logit_bias":{"999999":1}}
            400 | {"model":"M","messages":[{"role":"user","content":"a"}],"logit_bias":{"5":1000}}
            400 | {"model":"M","messages":[{"role":"user","content":"a"}],"logprobs":true,"top_logprobs":21}
            400 | {"model":"M","messages":[{"role":"user","content":"a"}],"stop":["a","b","c","d","e"]}
            400 | {"model":"M","messages":[{"role":"king","content":"a"}]}
            400 | {"model":"M","messages":[{"role":"user","content":{"a":1}}]}
            404 | {"model":"nonesuch","messages":[{"role":"user","content":"a"}]}
            404 | {"model":"../../etc/passwd","messages":[{"role":"user","content":"a"}]}
            """)
    void isRefusedWithTheEnvelope(int status, String body) throws Exception {
        HttpResponse<String> response =
                client.post("/v1/chat/completions", body.replace("\"M\"", '"' + Clusters.MODEL + '"'));
        assertThat(response.statusCode()).as(response.body()).isEqualTo(status);
        assertEnvelope(response);
    }

    @Test
    void deepJsonIsRefused() throws Exception {
        HttpResponse<String> response =
                client.post("/v1/chat/completions", "{\"messages\":" + "[".repeat(100_000) + "]".repeat(100_000) + "}");
        assertThat(response.statusCode()).as(response.body()).isEqualTo(400);
        assertEnvelope(response);
    }

    @Test
    void aPromptBeyondTheContextIsRefused() throws Exception {
        HttpResponse<String> response = client.post(
                "/v1/chat/completions",
                "{\"model\":\"%s\",\"messages\":[{\"role\":\"user\",\"content\":\"%s\"}]}"
                        .formatted(Clusters.MODEL, "word ".repeat(50_000)));
        assertThat(response.statusCode()).as(response.body()).isEqualTo(400);
        assertThat(assertEnvelope(response).path("code").asText()).isEqualTo("context_length_exceeded");
    }

    @Test
    void aServedChatIsUntouchedByAllThat() throws Exception {
        Reference reference = Reference.all().getFirst();
        reference.check(client.stream(Client.chat(Clusters.MODEL, reference.messages(), 48), tokens -> {}));
        assertThat(CLUSTER.get().services()).allMatch(service -> service.alive());
    }

    private static JsonNode assertEnvelope(HttpResponse<String> response) throws Exception {
        JsonNode error = Client.JSON.readTree(response.body()).get("error");
        assertThat(error).as(response.body()).isNotNull();
        assertThat(error.get("message").textValue()).isNotBlank().doesNotContain("Exception");
        assertThat(error.has("type")).isTrue();
        return error;
    }
}
