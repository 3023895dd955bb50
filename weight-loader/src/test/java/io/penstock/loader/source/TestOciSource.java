package io.penstock.loader.source;

import static org.assertj.core.api.Assertions.assertThat;
import static org.assertj.core.api.Assertions.assertThatThrownBy;

import io.penstock.emulator.Credentials;
import io.penstock.emulator.Emulator;
import io.penstock.loader.verify.Checksum;
import io.penstock.model.ErrorCategory;
import io.penstock.model.PenstockException;
import java.io.IOException;
import java.nio.file.Files;
import java.nio.file.Path;
import java.util.Optional;
import org.junit.jupiter.api.AfterEach;
import org.junit.jupiter.api.BeforeEach;
import org.junit.jupiter.api.Test;
import org.junit.jupiter.api.io.TempDir;

class TestOciSource {
    /// One for all tests: making a key takes long.
    private static final Credentials CREDENTIALS = Credentials.generate();

    @TempDir
    Path folder;

    private Emulator emulator;
    private Path config;
    private Path small;
    private Web web;

    @BeforeEach
    void start() throws IOException {
        emulator = Emulator.start(folder.resolve("buckets"), 0);
        emulator.createBucket("models");
        emulator.register(CREDENTIALS);
        config = CREDENTIALS.writeConfigFile(folder.resolve("oci"), "x");
        small = Files.writeString(folder.resolve("small"), "content");
        web = Web.open();
    }

    @AfterEach
    void stop() {
        web.close();
        emulator.close();
    }

    @Test
    void takesTheFilesBelowThePrefixAndNoNeighbours() throws IOException {
        for (String name : new String[] {"qwen/a.bin", "qwen/sub/b c.bin", "qwen/", "qwen-7b/x", "qwen.txt", "z"}) {
            emulator.putFile("models", name, small);
        }
        Snapshot snapshot = source("qwen").resolve("q", "");
        assertThat(snapshot.files()).extracting(file -> file.name().value()).containsExactly("a.bin", "sub/b c.bin");
        RemoteFile file = snapshot.files().getFirst();
        assertThat(file.size()).isEqualTo("content".length());
        assertThat(file.checksum().orElseThrow()).isInstanceOf(Checksum.Crc32cSum.class);
    }

    @Test
    void aPrefixMayBeOneObjectOrTheWholeBucket() throws Exception {
        emulator.putFile("models", "a/model.gguf", small);
        emulator.putFile("models", "other", small);
        Snapshot one = source("a/model.gguf").resolve("m", "");
        assertThat(one.files()).extracting(file -> file.name().value()).containsExactly("model.gguf");
        assertThat(read(source("a/model.gguf"), one)).isEqualTo("content");
        Snapshot all = source("").resolve("m", "");
        assertThat(all.files()).extracting(file -> file.name().value()).containsExactly("a/model.gguf", "other");
        assertThat(read(source(""), all)).isEqualTo("content");
    }

    @Test
    void theRevisionChangesWithAnyFileAndOnlyThen() throws IOException {
        emulator.putFile("models", "m/a", small);
        emulator.putFile("models", "m/b", small);
        String first = source("m").resolve("m", "").revision();
        assertThat(source("m").resolve("m", "").revision()).isEqualTo(first);
        emulator.putFile("models", "m/b", small);
        assertThat(source("m").resolve("m", "").revision()).isNotEqualTo(first);
        assertThatThrownBy(() -> source("m").resolve("m", first))
                .isInstanceOfSatisfying(
                        PenstockException.class,
                        failure -> assertThat(failure.category()).isEqualTo(ErrorCategory.NOT_FOUND))
                .hasMessageContaining(first);
    }

    @Test
    void listsAllPagesAndNoMoreThanItMay() throws IOException {
        for (int i = 0; i < 41; i++) {
            emulator.putFile("models", "m/%02d".formatted(i), small);
        }
        assertThat(paged(20).resolve("m", "").files()).hasSize(41);
        assertThatThrownBy(() -> paged(2).resolve("m", "")).hasMessageContaining("over 40 objects");
    }

    private OciSource paged(int pageSize) {
        return new OciSource(
                web.http(),
                new Renewable<>(() -> account(config)),
                BucketFolder.oci(Emulator.NAMESPACE, "models", "m"),
                pageSize);
    }

    @Test
    void hostileNamesOfObjectsAreRefused() throws IOException {
        emulator.putFile("models", "m/../../out", small);
        assertThatThrownBy(() -> source("m").resolve("m", ""))
                .isInstanceOf(PenstockException.class)
                .hasMessageContaining("refused");
    }

    @Test
    void saysWhatIsMissing() {
        assertThatThrownBy(() -> source("none").resolve("m", "")).hasMessageContaining("holds no files");
        assertThatThrownBy(() -> new OciSource(
                                web.http(), new Renewable<>(() -> account(config)), Emulator.NAMESPACE, "nobucket", "")
                        .resolve("m", ""))
                .isInstanceOfSatisfying(
                        PenstockException.class,
                        failure -> assertThat(failure.category()).isEqualTo(ErrorCategory.NOT_FOUND));
        assertThatThrownBy(() -> account(folder.resolve("absent")))
                .hasMessageContaining("absent")
                .isInstanceOfSatisfying(
                        PenstockException.class,
                        failure -> assertThat(failure.category()).isEqualTo(ErrorCategory.UNAVAILABLE));
    }

    @Test
    void saysThatAConfigFileLacksAKey() throws IOException {
        Path partial = Files.writeString(folder.resolve("partial"), "[DEFAULT]\nuser=u\ntenancy=t\nkey_file=k\n");
        assertThatThrownBy(() -> account(partial))
                .isInstanceOf(PenstockException.class)
                .hasMessageContaining("partial");
    }

    /// A service that pays no heed to the pin is found by the answer's ETag; one that does must be asked.
    @Test
    void everyRangeIsPinnedToTheVersionThatWasResolved() throws IOException {
        emulator.putFile("models", "m/a.bin", small);
        OciSource source = source("m");
        Snapshot snapshot = source.resolve("m", "");
        RemoteFile file = snapshot.files().getFirst();
        Source.Access.OverHttp access = (Source.Access.OverHttp) source.access(snapshot, file);
        assertThat(access.requests().range(0, 1).http().headers().firstValue("if-match"))
                .isEqualTo(file.etag());
    }

    private OciAccount account(Path file) {
        return OciAccount.read(file, "DEFAULT", Optional.of(emulator.endpoint()));
    }

    private OciSource source(String prefix) {
        return new OciSource(web.http(), new Renewable<>(() -> account(config)), Emulator.NAMESPACE, "models", prefix);
    }

    private String read(OciSource source, Snapshot snapshot) throws Exception {
        RemoteFile file = snapshot.files().getFirst();
        Source.Access.OverHttp access = (Source.Access.OverHttp) source.access(snapshot, file);
        return web.http()
                .client()
                .send(
                        access.requests().range(0, file.size()).http(),
                        java.net.http.HttpResponse.BodyHandlers.ofString())
                .body();
    }
}
