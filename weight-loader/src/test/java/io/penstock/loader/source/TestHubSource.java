package io.penstock.loader.source;

import static org.assertj.core.api.Assertions.assertThat;
import static org.assertj.core.api.Assertions.assertThatThrownBy;

import io.penstock.loader.verify.Checksum;
import io.penstock.model.ErrorCategory;
import io.penstock.model.PenstockException;
import java.net.http.HttpRequest;
import java.net.http.HttpResponse.BodyHandlers;
import java.nio.charset.StandardCharsets;
import java.util.Map;
import java.util.Optional;
import org.junit.jupiter.api.AfterEach;
import org.junit.jupiter.api.BeforeEach;
import org.junit.jupiter.api.Test;

class TestHubSource {
    private FakeHub hub;
    private Web web;

    @BeforeEach
    void start() {
        hub = new FakeHub(
                "secret",
                Map.of(
                        "config.json", bytes("{}"),
                        "model.bin", bytes("large content"),
                        "sub/other name.bin", bytes("more"),
                        "tokenizer.json", bytes("tokens"),
                        "zz", bytes("")));
        web = Web.open();
    }

    @AfterEach
    void stop() {
        web.close();
        hub.close();
    }

    @Test
    void pinsABranchToItsCommitAndListsAllPages() {
        Snapshot snapshot = source(Optional.of("secret")).resolve("m", "");
        assertThat(snapshot.revision()).isEqualTo(FakeHub.COMMIT);
        assertThat(snapshot.files())
                .extracting(file -> file.name().value())
                .containsExactly("config.json", "model.bin", "sub/other name.bin", "tokenizer.json", "zz");
        assertThat(snapshot.file(new FileName("model.bin")).checksum().orElseThrow())
                .isInstanceOf(Checksum.Sha256.class);
        assertThat(snapshot.file(new FileName("config.json")).checksum().orElseThrow())
                .isInstanceOf(Checksum.GitBlob.class);
    }

    @Test
    void readsRangesDirectlyAndThroughTheContentNetworkWithoutTheToken() throws Exception {
        HubSource source = source(Optional.of("secret"));
        Snapshot snapshot = source.resolve("m", "");
        assertThat(read(source, snapshot, "model.bin", 6, 7)).isEqualTo("content");
        assertThat(read(source, snapshot, "sub/other name.bin", 0, 4)).isEqualTo("more");
        assertThat(read(source, snapshot, "tokenizer.json", 1, 3)).isEqualTo("oke");
        assertThat(hub.leaked).isEmpty();
    }

    @Test
    void oneFileOrOneFolderOfARepositoryIsAModel() throws Exception {
        HubSource file = source(Optional.of("secret"), "model.bin");
        Snapshot alone = file.resolve("m", "");
        assertThat(alone.files()).extracting(found -> found.name().value()).containsExactly("model.bin");
        assertThat(read(file, alone, "model.bin", 6, 7)).isEqualTo("content");

        HubSource nested = source(Optional.of("secret"), "sub/other name.bin");
        assertThat(read(nested, nested.resolve("m", ""), "other name.bin", 0, 4))
                .isEqualTo("more");

        HubSource folder = source(Optional.of("secret"), "sub/");
        Snapshot below = folder.resolve("m", "");
        assertThat(below.files()).hasSize(1);
        assertThat(read(folder, below, "other name.bin", 1, 3)).isEqualTo("ore");

        assertThatThrownBy(() -> source(Optional.of("secret"), "model").resolve("m", ""))
                .isInstanceOfSatisfying(
                        PenstockException.class,
                        failure -> assertThat(failure.category()).isEqualTo(ErrorCategory.NOT_FOUND))
                .hasMessageContaining("nothing is named 'model'");
    }

    @Test
    void aMissingTokenAndAnUnknownRevisionAreSaidPlainly() {
        assertThatThrownBy(() -> source(Optional.empty()).resolve("m", ""))
                .isInstanceOfSatisfying(
                        PenstockException.class,
                        failure -> assertThat(failure.category()).isEqualTo(ErrorCategory.UNAVAILABLE))
                .hasMessageContaining("credentials");
        assertThatThrownBy(() -> source(Optional.of("secret")).resolve("m", "v9"))
                .isInstanceOfSatisfying(
                        PenstockException.class,
                        failure -> assertThat(failure.category()).isEqualTo(ErrorCategory.NOT_FOUND));
    }

    @Test
    void aRedirectToSomethingElseIsRefused() {
        HubSource source = source(Optional.of("secret"));
        Snapshot snapshot = source.resolve("m", "");
        hub.redirectTo("ftp://localhost");
        assertThatThrownBy(() -> read(source, snapshot, "model.bin", 0, 1)).hasMessageContaining("refused");
    }

    private HubSource source(Optional<String> token) {
        return source(token, "");
    }

    private HubSource source(Optional<String> token, String only) {
        return new HubSource(web.http(), hub.endpoint(), token, FakeHub.REPOSITORY, "main", only);
    }

    private String read(HubSource source, Snapshot snapshot, String name, long offset, long length) throws Exception {
        Source.Access.OverHttp access =
                (Source.Access.OverHttp) source.access(snapshot, snapshot.file(new FileName(name)));
        HttpRequest request = access.requests().range(offset, length).http();
        return web.http().client().send(request, BodyHandlers.ofString()).body();
    }

    private static byte[] bytes(String text) {
        return text.getBytes(StandardCharsets.UTF_8);
    }
}
