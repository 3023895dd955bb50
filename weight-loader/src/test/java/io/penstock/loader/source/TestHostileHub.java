package io.penstock.loader.source;

import static org.assertj.core.api.Assertions.assertThatThrownBy;

import io.penstock.loader.verify.Manifest;
import io.penstock.model.PenstockException;
import java.net.URI;
import java.net.http.HttpRequest;
import java.time.Duration;
import java.util.Map;
import java.util.Optional;
import org.junit.jupiter.api.AfterAll;
import org.junit.jupiter.api.BeforeAll;
import org.junit.jupiter.api.Test;
import org.junit.jupiter.params.ParameterizedTest;
import org.junit.jupiter.params.provider.ValueSource;

/// A hub that means harm: names that climb, redirects that pry, manifests that lie. All refused before a
/// byte is written.
/// With [TestFileName], [TestRedirectRule], [TestManifest] and the answers of `TestHostileAnswers` over
/// forty of them.
class TestHostileHub {
    /// One for all rows: a server takes longer to start than to be refused.
    private static FakeHub hub;

    private static RemoteHttp http;

    @BeforeAll
    static void start() {
        hub = new FakeHub("t", Map.of());
        http = new RemoteHttp(new Retry(2, Duration.ofMillis(1), Duration.ofMillis(5), _ -> {}));
    }

    @AfterAll
    static void stop() {
        http.close();
        hub.close();
    }

    private static HubSource source(String repository, Map<String, byte[]> files) {
        hub.hold(files);
        return new HubSource(http, hub.endpoint(), Optional.of("t"), repository, "main", "");
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
        HubSource source = source(FakeHub.REPOSITORY, Map.of("good.bin", new byte[1], name, new byte[1]));
        assertThatThrownBy(() -> source.resolve("m", ""))
                .isInstanceOf(PenstockException.class)
                .hasMessageContaining("refused");
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
        HubSource source = source(FakeHub.REPOSITORY, Map.of("x.bin", new byte[3]));
        Snapshot snapshot = source.resolve("m", "");
        hub.redirectTo(target);
        Source.Access.OverHttp access =
                (Source.Access.OverHttp) source.access(snapshot, snapshot.file(new FileName("x.bin")));
        assertThatThrownBy(() -> sent(access.requests().range(0, 1))).isInstanceOf(RuntimeException.class);
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
        HubSource source = source("org/model/../../other", Map.of("x.bin", new byte[1]));
        assertThatThrownBy(() -> source.resolve("m", "")).isInstanceOf(PenstockException.class);
    }
}
