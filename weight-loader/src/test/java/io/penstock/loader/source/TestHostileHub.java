package io.penstock.loader.source;

import static org.assertj.core.api.Assertions.assertThat;
import static org.assertj.core.api.Assertions.assertThatThrownBy;

import io.penstock.loader.verify.Manifest;
import io.penstock.loader.wire.Names;
import io.penstock.loader.wire.Reach;
import io.penstock.loader.wire.WireRequest;
import io.penstock.model.PenstockException;
import java.net.InetAddress;
import java.net.URI;
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

    private static Web web;

    @BeforeAll
    static void start() {
        hub = new FakeHub("t", Map.of());
        web = Web.open();
    }

    @AfterAll
    static void stop() {
        web.close();
        hub.close();
    }

    private static HubSource source(String repository, Map<String, byte[]> files) {
        hub.hold(files);
        return new HubSource(web.http(), hub.endpoint(), Optional.of("t"), repository, "main", "");
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

    /// The content network's owner decides what its name means, and may change that at any moment.
    @Test
    void aContentNetworkThatTurnsOutToBePrivateIsNotAsked() {
        hub.hold(Map.of("x.bin", new byte[3]));
        hub.redirectTo("http://network.example:" + hub.endpoint().getPort());
        Names names = host -> InetAddress.getAllByName(host.equals("network.example") ? "127.0.0.1" : host);
        try (Web strict = Web.open(2, _ -> {}, Reach.PUBLIC, names)) {
            HubSource source =
                    new HubSource(strict.http(), hub.endpoint(), Optional.of("t"), FakeHub.REPOSITORY, "main", "");
            Snapshot snapshot = source.resolve("m", "");
            Source.Access.OverHttp access =
                    (Source.Access.OverHttp) source.access(snapshot, snapshot.file(new FileName("x.bin")));
            assertThatThrownBy(() -> access.requests().range(0, 1))
                    .isInstanceOf(PenstockException.class)
                    .hasMessageContaining("network.example is refused");
        }
        assertThat(hub.atNetwork).isEmpty();
    }

    private static URI sent(WireRequest request) {
        return request.http().uri();
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
