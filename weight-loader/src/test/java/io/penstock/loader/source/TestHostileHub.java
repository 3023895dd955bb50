package io.penstock.loader.source;

import static org.assertj.core.api.Assertions.assertThatThrownBy;

import io.penstock.loader.verify.Manifest;
import io.penstock.model.PenstockException;
import java.net.URI;
import java.net.http.HttpRequest;
import java.nio.charset.StandardCharsets;
import java.time.Duration;
import java.util.Map;
import java.util.Optional;
import org.junit.jupiter.api.AfterEach;
import org.junit.jupiter.api.Test;
import org.junit.jupiter.params.ParameterizedTest;
import org.junit.jupiter.params.provider.ValueSource;

/// A hub that means harm: names that climb, redirects that pry, manifests that lie. All refused before a
/// byte is written.
/// With [TestFileName], [TestRedirectRule], [TestManifest] and the answers of `TestHostileAnswers` over
/// forty of them.
class TestHostileHub {
    private final RemoteHttp http = new RemoteHttp(new Retry(2, Duration.ofMillis(1), Duration.ofMillis(5), _ -> {}));

    @AfterEach
    void stop() {
        http.close();
    }

    @ParameterizedTest
    @ValueSource(
            strings = {
                "../escape.bin",
                "a/../../escape.bin",
                "/etc/passwd",
                "a//b.bin",
                "./a.bin",
                "a/./b.bin",
                "..",
                "a\\..\\b.bin",
                "C:/x.bin",
                "file:x.bin",
                "a\u0000b.bin",
                "a\nb.bin",
                "a\u202Eb.bin",
                "a\u2024\u2024/b.bin",
                "\uFF0E\uFF0E/x.bin",
                "a/\u200B../x.bin",
                "x/"
            })
    void aNameThatCouldClimbIsRefusedWithItsWholeRevision(String name) {
        try (FakeHub hub = new FakeHub("t", Map.of("good.bin", new byte[1], name, new byte[1]))) {
            HubSource source = new HubSource(http, hub.endpoint(), Optional.of("t"), FakeHub.REPOSITORY, "main", "");
            assertThatThrownBy(() -> source.resolve("m", ""))
                    .isInstanceOf(PenstockException.class)
                    .hasMessageContaining("refused");
        }
    }

    @ParameterizedTest
    @ValueSource(
            strings = {
                "ftp://localhost",
                "file:///etc",
                "gopher://localhost",
                "http://user:secret@localhost",
                "jar:file:/x!"
            })
    void aRedirectThatIsNoPlainAddressIsRefused(String target) {
        try (FakeHub hub = new FakeHub("t", Map.of("x.bin", new byte[3]))) {
            HubSource source = new HubSource(http, hub.endpoint(), Optional.of("t"), FakeHub.REPOSITORY, "main", "");
            Snapshot snapshot = source.resolve("m", "");
            hub.redirectTo(target);
            Source.Access.OverHttp access =
                    (Source.Access.OverHttp) source.access(snapshot, snapshot.file(new FileName("x.bin")));
            assertThatThrownBy(() -> sent(access.requests().range(0, 1))).isInstanceOf(RuntimeException.class);
        }
    }

    private static URI sent(HttpRequest request) {
        return request.uri();
    }

    @ParameterizedTest
    @ValueSource(
            strings = {
                "",
                "null",
                "[]",
                "{",
                "{\"version\":2}",
                "{\"version\":\"1\"}",
                "{\"version\":1,\"pieceSize\":3,\"files\":[{\"name\":\"a\",\"size\":1,\"pieces\":\"AAAAAA==\"}]}",
                "{\"version\":1,\"pieceSize\":1048576,\"files\":[{\"name\":\"a\",\"size\":-1,\"pieces\":\"\"}]}",
                "{\"version\":1,\"pieceSize\":1048576,\"files\":[{\"name\":\"a\",\"size\":9e18,\"pieces\":\"AAAAAA==\"}]}",
                "{\"version\":1,\"pieceSize\":1048576,\"files\":[{\"name\":\"a\",\"size\":1,\"pieces\":\"?\"}]}",
                "{\"version\":1,\"pieceSize\":1048576,\"files\":{\"a\":1}}"
            })
    void aManifestThatLiesIsRefused(String json) {
        assertThatThrownBy(() -> Manifest.parse(json)).isInstanceOf(PenstockException.class);
    }

    @Test
    void aTreeThatIsNoTreeIsRefused() {
        byte[] content = "x".getBytes(StandardCharsets.UTF_8);
        try (FakeHub hub = new FakeHub("t", Map.of("x.bin", content))) {
            HubSource source =
                    new HubSource(http, hub.endpoint(), Optional.of("t"), "org/model/../../other", "main", "");
            assertThatThrownBy(() -> source.resolve("m", "")).isInstanceOf(PenstockException.class);
        }
    }
}
