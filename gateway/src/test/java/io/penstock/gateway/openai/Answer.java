package io.penstock.gateway.openai;

import static org.hamcrest.MatcherAssert.assertThat;

import io.penstock.gateway.fake.TinyGateway;
import io.restassured.path.json.JsonPath;
import java.io.IOException;
import java.io.UncheckedIOException;
import java.net.URI;
import java.net.http.HttpClient;
import java.net.http.HttpRequest;
import java.net.http.HttpResponse;
import org.hamcrest.Matcher;

/// What the gateway answers to a body that no ordinary client would send. REST Assured takes seconds over some of them.
record Answer(int status, String text) {
    private static final HttpClient CLIENT =
            HttpClient.newBuilder().version(HttpClient.Version.HTTP_1_1).build();

    static Answer to(String path, String body) {
        HttpRequest request = HttpRequest.newBuilder(URI.create("http://localhost:" + TinyGateway.port() + path))
                .header("content-type", "application/json")
                .header("authorization", "Bearer " + TinyGateway.KEY)
                .POST(HttpRequest.BodyPublishers.ofString(body))
                .build();
        try {
            HttpResponse<String> response = CLIENT.send(request, HttpResponse.BodyHandlers.ofString());
            return new Answer(response.statusCode(), response.body());
        } catch (IOException e) {
            throw new UncheckedIOException(e);
        } catch (InterruptedException e) {
            Thread.currentThread().interrupt();
            throw new AssertionError("interrupted", e);
        }
    }

    Answer statusCode(int expected) {
        if (status != expected) {
            throw new AssertionError("status %d, %d is expected: %s".formatted(status, expected, text));
        }
        return this;
    }

    <T> Answer body(String path, Matcher<T> expected) {
        T value = JsonPath.from(text).get(path);
        assertThat(text, value, expected);
        return this;
    }
}
