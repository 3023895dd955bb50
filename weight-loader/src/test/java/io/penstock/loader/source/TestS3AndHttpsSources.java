package io.penstock.loader.source;

import static org.assertj.core.api.Assertions.assertThat;
import static org.assertj.core.api.Assertions.assertThatThrownBy;

import io.penstock.loader.verify.Checksum;
import io.penstock.loader.wire.WireRequest;
import io.penstock.model.ErrorCategory;
import io.penstock.model.PenstockException;
import java.io.IOException;
import java.net.URI;
import java.net.http.HttpHeaders;
import java.net.http.HttpRequest;
import java.net.http.HttpResponse.BodyHandlers;
import java.nio.charset.StandardCharsets;
import java.nio.file.Files;
import java.nio.file.Path;
import java.util.HashMap;
import java.util.Map;
import org.junit.jupiter.api.AfterEach;
import org.junit.jupiter.api.BeforeEach;
import org.junit.jupiter.api.Test;
import org.junit.jupiter.api.io.TempDir;
import org.junit.jupiter.params.ParameterizedTest;
import org.junit.jupiter.params.provider.CsvSource;
import org.junit.jupiter.params.provider.ValueSource;

class TestS3AndHttpsSources {
    private static final String SUM = "ab".repeat(32);

    @TempDir
    Path folder;

    private FakeStore store;
    private Web web;

    @BeforeEach
    void start() throws Exception {
        store = new FakeStore(Map.of(
                "m/config.json", bytes("{}"),
                "m/model.bin", bytes("large content"),
                "m/sub/a & b+c.bin", bytes("more"),
                "m/sub/", bytes(""),
                "mx", bytes("another's")));
        web = Web.open();
    }

    @AfterEach
    void stop() {
        web.close();
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
    void s3KeysThatWereRenewedInTheirFileAreReadAnewWhenTheOldOnesAreRefused() throws Exception {
        Path file = writeKeys("key", "");
        Renewable<S3Account> account =
                new Renewable<>(() -> S3Account.read(store.endpoint(), "eu-frankfurt-1", file, "default"));
        S3Source source = new S3Source(web.http(), account, "bucket", "m");
        Snapshot snapshot = source.resolve("m", "");
        Source.Access.OverHttp access =
                (Source.Access.OverHttp) source.access(snapshot, snapshot.file(new FileName("model.bin")));

        store.key = "newer";
        writeKeys("newer", "aws_session_token = temporary\n");
        // In mid-transfer: ranges are refused as by an expired key, and asked for anew after that.
        assertThat(status(source, snapshot, "model.bin")).isEqualTo(403);
        WireRequest refused = access.requests().range(0, 1);
        access.requests().renew(refused);
        S3Account renewed = account.get();
        // Of many that are refused one renews.
        access.requests().renew(refused);
        assertThat(account.get()).isSameAs(renewed);
        assertThat(read(source, snapshot, "model.bin", 6, 7)).isEqualTo("content");
        assertThat(access.requests().range(0, 1).http().headers().firstValue("x-amz-security-token"))
                .contains("temporary");

        store.key = "newest";
        writeKeys("newest", "");
        assertThat(source.resolve("m", "")).isEqualTo(snapshot);

        store.key = "nobody's";
        assertThatThrownBy(() -> source.resolve("m", "")).hasMessageContaining("credentials");
        Files.writeString(file, "[default]\naws_access_key_id = key\n");
        assertThatThrownBy(() -> source.resolve("m", ""))
                .hasMessageContaining(file.toString())
                .hasMessageContaining("aws_secret_access_key");
    }

    @Test
    void aRefusedKeyIsToldFromOtherFailures() {
        HttpHeaders none = HttpHeaders.of(Map.of(), (_, _) -> true);
        for (int status : new int[] {401, 403}) {
            assertThat(RemoteHttp.failure("x", status, none, ""))
                    .isInstanceOfSatisfying(
                            TransientFailure.class,
                            failure -> assertThat(failure.kind()).isEqualTo(TransientFailure.CREDENTIALS));
        }
        assertThat(RemoteHttp.failure("x", 400, none, "<Error><Code>ExpiredToken</Code></Error>"))
                .isInstanceOf(TransientFailure.class);
        assertThat(RemoteHttp.failure("x", 400, none, "<Error><Code>Bad</Code></Error>"))
                .isInstanceOf(PenstockException.class);
    }

    @ParameterizedTest
    @CsvSource(delimiter = '|', textBlock = """
            {"code": "InvalidUploadPart", "message": "Part 3"}                     | InvalidUploadPart
            {"message": "no \"code\": \"InvalidUploadPart\""}                      | ''
            <?xml version="1.0"?><Error><Code>InvalidPart</Code></Error>           | InvalidPart
            <Error><Message>InvalidPart</Message></Error>                          | ''
            <html><body>InvalidUploadPart</body>                                   | ''
            InvalidUploadPart                                                      | ''
            ''                                                                     | ''
            """)
    void aFailureCarriesTheServicesOwnCodeAndNoOther(String body, String code) {
        HttpHeaders none = HttpHeaders.of(Map.of(), (_, _) -> true);
        assertThat(RemoteHttp.failure("x", 400, none, body)).isInstanceOfSatisfying(ServiceFailure.class, failure -> {
            assertThat(failure.code()).isEqualTo(code);
            assertThat(failure.status()).isEqualTo(400);
        });
    }

    @Test
    void manyObjectsAreLookedAtAtOnceButNotAllOfThem() throws Exception {
        Map<String, byte[]> objects = new HashMap<>();
        for (int i = 0; i < 60; i++) {
            objects.put("m/" + i + ".bin", bytes("x"));
        }
        try (FakeStore many = new FakeStore(objects)) {
            many.gather(8);
            S3Source source = new S3Source(
                    web.http(),
                    new Renewable<>(() -> new S3Account(many.endpoint(), "x", "key", "secret")),
                    "bucket",
                    "m");
            assertThat(source.resolve("m", "").files()).hasSize(60);
            assertThat(many.busiest.get()).isBetween(8, 16);
        }
    }

    private Path writeKeys(String key, String more) throws IOException {
        return Files.writeString(
                folder.resolve("credentials"),
                "[default]\naws_access_key_id = %s\naws_secret_access_key = secret\n%s".formatted(key, more));
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
                web.http(),
                new Renewable<>(() -> new S3Account(store.endpoint(), "eu-frankfurt-1", key, "secret")),
                "bucket",
                "m");
    }

    private HttpsSource https(String path) {
        return new HttpsSource(web.http(), URI.create(store.endpoint() + path), new Checksum.Sha256(SUM));
    }

    private String read(Source source, Snapshot snapshot, String name, long offset, long length) throws Exception {
        return web.http()
                .client()
                .send(request(source, snapshot, name, offset, length), BodyHandlers.ofString())
                .body();
    }

    private int status(Source source, Snapshot snapshot, String name) throws Exception {
        return web.http()
                .client()
                .send(request(source, snapshot, name, 0, 1), BodyHandlers.ofString())
                .statusCode();
    }

    private static HttpRequest request(Source source, Snapshot snapshot, String name, long offset, long length) {
        Source.Access.OverHttp access =
                (Source.Access.OverHttp) source.access(snapshot, snapshot.file(new FileName(name)));
        return access.requests().range(offset, length).http();
    }

    private static byte[] bytes(String text) {
        return text.getBytes(StandardCharsets.UTF_8);
    }
}
