package io.penstock.gateway.openai;

import static org.assertj.core.api.Assertions.assertThat;
import static org.assertj.core.api.Assertions.assertThatThrownBy;

import io.penstock.gateway.fake.Certificate;
import io.penstock.gateway.fake.FakeCall;
import io.penstock.gateway.fake.FakeScheduler;
import io.penstock.gateway.fake.FakeSchedulers;
import io.penstock.gateway.fake.LoggedErrors;
import io.penstock.gateway.fake.Script;
import io.penstock.gateway.fake.TinyGateway;
import io.quarkus.test.common.http.TestHTTPResource;
import io.quarkus.test.junit.QuarkusTest;
import io.quarkus.test.junit.TestProfile;
import java.io.InputStream;
import java.net.URI;
import java.net.http.HttpClient;
import java.net.http.HttpRequest;
import java.net.http.HttpResponse;
import java.util.ArrayList;
import java.util.List;
import java.util.concurrent.CompletableFuture;
import java.util.concurrent.TimeUnit;
import javax.net.ssl.SSLException;
import org.junit.jupiter.api.AfterEach;
import org.junit.jupiter.api.BeforeEach;
import org.junit.jupiter.api.Test;

/// HTTPS, and with it HTTP/2: many requests on one connection, each of which may fail or leave alone.
@QuarkusTest
@TestProfile(TinyGateway.class)
class TestTls {
    private final FakeScheduler scheduler = FakeSchedulers.first();
    private final HttpClient client = HttpClient.newBuilder()
            .version(HttpClient.Version.HTTP_2)
            .sslContext(Certificate.context())
            .build();

    private final LoggedErrors errors = new LoggedErrors();

    @TestHTTPResource(value = "/v1/chat/completions", tls = true)
    URI chats;

    @BeforeEach
    void ready() {
        Gateway.awaitReady();
    }

    @AfterEach
    void nothingIsLogged() {
        client.shutdownNow();
        errors.close();
        assertThat(errors.all()).isEmpty();
    }

    private HttpRequest request(String body) {
        return HttpRequest.newBuilder(chats)
                .header("content-type", "application/json")
                .header("authorization", "Bearer " + TinyGateway.KEY)
                .POST(HttpRequest.BodyPublishers.ofString(body))
                .build();
    }

    @Test
    void manyStreamsShareAConnection() throws Exception {
        scheduler.plays(Script.saying("grüß dich"));
        List<CompletableFuture<HttpResponse<String>>> answers = new ArrayList<>();
        for (int i = 0; i < 20; i++) {
            answers.add(
                    client.sendAsync(request(Gateway.chat(",\"stream\":true")), HttpResponse.BodyHandlers.ofString()));
        }
        for (CompletableFuture<HttpResponse<String>> answer : answers) {
            HttpResponse<String> response = answer.get(20, TimeUnit.SECONDS);
            assertThat(response.version()).isEqualTo(HttpClient.Version.HTTP_2);
            assertThat(response.sslSession()).isPresent();
            assertThat(response.statusCode()).isEqualTo(200);
            assertThat(TestTextCompletions.contents(response.body())).isEqualTo("grüß dich");
            assertThat(response.body()).endsWith("data: [DONE]\n\n");
        }
    }

    @Test
    void aStreamThatIsResetEndsItsSequenceAlone() throws Exception {
        scheduler.plays(Script.endless("abc"));
        HttpResponse<InputStream> left =
                client.send(request(Gateway.wideChat(",\"stream\":true")), HttpResponse.BodyHandlers.ofInputStream());
        FakeCall first = scheduler.nextCall();
        HttpResponse<InputStream> stays =
                client.send(request(Gateway.wideChat(",\"stream\":true")), HttpResponse.BodyHandlers.ofInputStream());
        FakeCall second = scheduler.nextCall();
        try (InputStream in = left.body()) {
            assertThat(in.readNBytes(2_000)).hasSize(2_000);
        }
        assertThat(first.awaitCancelled(5)).isTrue();
        try (InputStream in = stays.body()) {
            assertThat(in.readNBytes(100_000)).hasSize(100_000);
        }
        assertThat(second.awaitCancelled(5)).isTrue();
    }

    @Test
    void aBodyTooLargeLeavesItsConnectionToOthers() throws Exception {
        scheduler.plays(Script.saying("a"));
        HttpResponse<String> answer = client.send(request(Gateway.chat("")), HttpResponse.BodyHandlers.ofString());
        assertThat(answer.statusCode()).isEqualTo(200);
        CompletableFuture<HttpResponse<String>> large = client.sendAsync(
                request(Gateway.chat(",\"x\":\"" + "x".repeat(TinyGateway.MAX_BODY) + "\"")),
                HttpResponse.BodyHandlers.ofString());
        for (int i = 0; i < 5; i++) {
            assertThat(client.send(request(Gateway.chat("")), HttpResponse.BodyHandlers.ofString())
                            .statusCode())
                    .isEqualTo(200);
        }
        assertThat(large.get(20, TimeUnit.SECONDS).statusCode()).isEqualTo(413);
        assertThat(large.get().body()).contains("body_too_large");
    }

    @Test
    void whoDoesNotTrustTheCertificateGetsNothing() {
        try (HttpClient stranger = HttpClient.newHttpClient()) {
            assertThatThrownBy(() -> stranger.send(request(Gateway.chat("")), HttpResponse.BodyHandlers.ofString()))
                    .isInstanceOf(SSLException.class);
        }
    }
}
