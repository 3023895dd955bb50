package io.penstock.loader.source;

import static org.assertj.core.api.Assertions.assertThat;
import static org.assertj.core.api.Assertions.assertThatThrownBy;

import io.penstock.loader.verify.Checksum;
import io.penstock.model.ErrorCategory;
import io.penstock.model.PenstockException;
import java.net.URI;
import java.net.http.HttpRequest;
import java.net.http.HttpResponse.BodyHandlers;
import java.nio.charset.StandardCharsets;
import java.time.Duration;
import java.util.Map;
import org.junit.jupiter.api.AfterEach;
import org.junit.jupiter.api.BeforeEach;
import org.junit.jupiter.api.Test;
import org.junit.jupiter.params.ParameterizedTest;
import org.junit.jupiter.params.provider.ValueSource;

class TestS3AndHttpsSources {
    private static final String SUM = "ab".repeat(32);

    private FakeStore store;
    private RemoteHttp http;

    @BeforeEach
    void start() throws Exception {
        store = new FakeStore(Map.of(
                "m/config.json", bytes("{}"),
                "m/model.bin", bytes("large content"),
                "m/sub/a & b+c.bin", bytes("more"),
                "m/sub/", bytes(""),
                "mx", bytes("another's")));
        http = new RemoteHttp(new Retry(2, Duration.ofMillis(1), Duration.ofMillis(5), _ -> {}));
    }

    @AfterEach
    void stop() {
        http.close();
        store.close();
    }

    @Test
    void s3ListsAllPagesPinsByEtagAndReadsRanges() throws Exception {
        S3Source source = s3("key");
        Snapshot snapshot = source.resolve("m", "");
        assertThat(snapshot.files())
                .extracting(file -> file.name().value())
                .containsExactly("config.json", "model.bin", "sub/a & b+c.bin");
        assertThat(read(source, snapshot, "model.bin", 6, 7)).isEqualTo("content");
        assertThat(read(source, snapshot, "sub/a & b+c.bin", 1, 3)).isEqualTo("ore");
        assertThat(source.resolve("m", snapshot.revision())).isEqualTo(snapshot);

        store.etag = "\"two\"";
        assertThat(status(source, snapshot, "model.bin")).isEqualTo(412);
        assertThatThrownBy(() -> source.resolve("m", snapshot.revision())).hasMessageContaining("now holds revision");
    }

    @Test
    void s3SaysWhenItsKeyIsRefused() {
        assertThatThrownBy(() -> s3("other").resolve("m", ""))
                .isInstanceOfSatisfying(
                        PenstockException.class,
                        failure -> assertThat(failure.category()).isEqualTo(ErrorCategory.UNAVAILABLE))
                .hasMessageContaining("credentials");
    }

    @Test
    void anAddressWithAChecksumIsAModelOfOneFile() throws Exception {
        HttpsSource source = https("/redirect/m/model.bin");
        Snapshot snapshot = source.resolve("m", "");
        assertThat(snapshot.files()).hasSize(1);
        assertThat(snapshot.files().getFirst().checksum()).contains(new Checksum.Sha256(SUM));
        assertThat(snapshot.revision()).isEqualTo(SUM.substring(0, 40));
        assertThat(read(source, snapshot, "model.bin", 6, 7)).isEqualTo("content");
        assertThatThrownBy(() -> source.resolve("m", "0000")).hasMessageContaining("not 0000");
    }

    @ParameterizedTest
    @ValueSource(strings = {"/a.zip", "/a.tar.gz", "/A.TGZ", "/a.7z", "/", "/x/..", "/a%2Fb%00"})
    void archivesAndNamesThatAreNoneAreRefused(String path) {
        assertThatThrownBy(() -> https(path)).isInstanceOf(PenstockException.class);
    }

    @Test
    void aRedirectElsewhereIsChecked() {
        store.redirectTo = "ftp://127.0.0.1/";
        assertThatThrownBy(() -> https("/redirect/m/model.bin").resolve("m", ""))
                .hasMessageContaining("refused");
        store.redirectTo = "/redirect/";
        assertThatThrownBy(() -> https("/redirect/m/model.bin").resolve("m", ""))
                .hasMessageContaining("redirects");
    }

    private S3Source s3(String key) {
        return new S3Source(
                http, () -> new S3Account(store.endpoint(), "eu-frankfurt-1", key, "secret"), "bucket", "m");
    }

    private HttpsSource https(String path) {
        return new HttpsSource(http, URI.create(store.endpoint() + path), new Checksum.Sha256(SUM));
    }

    private String read(Source source, Snapshot snapshot, String name, long offset, long length) throws Exception {
        return http.client()
                .send(request(source, snapshot, name, offset, length), BodyHandlers.ofString())
                .body();
    }

    private int status(Source source, Snapshot snapshot, String name) throws Exception {
        return http.client()
                .send(request(source, snapshot, name, 0, 1), BodyHandlers.ofString())
                .statusCode();
    }

    private static HttpRequest request(Source source, Snapshot snapshot, String name, long offset, long length) {
        Source.Access.OverHttp access =
                (Source.Access.OverHttp) source.access(snapshot, snapshot.file(new FileName(name)));
        return access.requests().range(offset, length);
    }

    private static byte[] bytes(String text) {
        return text.getBytes(StandardCharsets.UTF_8);
    }
}
