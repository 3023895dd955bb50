package io.penstock.emulator;

import static org.assertj.core.api.Assertions.assertThat;

import io.vertx.core.json.JsonArray;
import io.vertx.core.json.JsonObject;
import java.io.IOException;
import java.net.URLEncoder;
import java.net.http.HttpResponse;
import java.nio.ByteBuffer;
import java.nio.charset.StandardCharsets;
import java.nio.file.Files;
import java.nio.file.Path;
import java.util.ArrayList;
import java.util.Base64;
import java.util.List;
import java.util.stream.Stream;
import java.util.zip.CRC32C;
import org.junit.jupiter.api.AfterEach;
import org.junit.jupiter.api.BeforeEach;
import org.junit.jupiter.api.Test;
import org.junit.jupiter.api.io.TempDir;

/// What the loader relies on when it talks to the real service: statuses, headers and bytes.
class TestObjects {
    private static final String OBJECTS = "/n/penstock/b/models/o";
    private static final String UPLOADS = "/n/penstock/b/models/u";

    /// One for all tests: making a key takes long.
    private static final Credentials CREDENTIALS = Credentials.generate();

    @TempDir
    Path folder;

    private Emulator emulator;
    private SdkClient client;

    @BeforeEach
    void start() throws IOException {
        emulator = Emulator.start(folder.resolve("buckets"), 0);
        emulator.createBucket("models");
        emulator.register(CREDENTIALS);
        client = new SdkClient(emulator.endpoint(), CREDENTIALS.writeConfigFile(folder.resolve("oci"), "x"));
    }

    @AfterEach
    void stop() {
        client.close();
        emulator.close();
    }

    @Test
    void servesRangesOfRightBytesAndHeaders() {
        String etag = etag(client.send("PUT", OBJECTS + "/a/b", "0123456789"));
        assertRange("bytes=2-4", 206, "234", "bytes 2-4/10");
        assertRange("bytes=7-", 206, "789", "bytes 7-9/10");
        assertRange("bytes=-3", 206, "789", "bytes 7-9/10");
        assertRange("bytes=8-99", 206, "89", "bytes 8-9/10");
        assertRange("bytes=0-0", 206, "0", "bytes 0-0/10");
        assertRange("bytes=1-2,4-5", 200, "0123456789", null);
        assertError(client.send("GET", OBJECTS + "/a/b", null, "range", "bytes=10-"), 416, "InvalidRange");
        HttpResponse<byte[]> head = client.send("HEAD", OBJECTS + "/a/b", null);
        assertThat(head.headers().firstValueAsLong("content-length")).hasValue(10);
        assertThat(etag(head)).isEqualTo(etag);
        assertThat(head.body()).isEmpty();
    }

    @Test
    void readsAreConditionalOnTheEtag() {
        String first = etag(client.send("PUT", OBJECTS + "/x", "one"));
        assertThat(client.send("GET", OBJECTS + "/x", null, "if-match", first).statusCode())
                .isEqualTo(200);
        assertThat(client.send("GET", OBJECTS + "/x", null, "if-none-match", first)
                        .statusCode())
                .isEqualTo(304);
        String second = etag(client.send("PUT", OBJECTS + "/x", "two"));
        assertThat(second).isNotEqualTo(first);
        assertError(client.send("GET", OBJECTS + "/x", null, "if-match", first), 412, "IfMatchFailed");
        assertError(client.send("PUT", OBJECTS + "/x", "three", "if-none-match", "*"), 412, "IfNoneMatchFailed");
        assertError(client.send("PUT", OBJECTS + "/x", "three", "if-match", first), 412, "IfMatchFailed");
        assertThat(SdkClient.text(client.send("GET", OBJECTS + "/x", null))).isEqualTo("two");
    }

    @Test
    void keepsAndChecksTheChecksumsOfAnUpload() {
        HttpResponse<byte[]> put = client.send("PUT", OBJECTS + "/x", "weights", "opc-checksum-algorithm", "CRC32C");
        assertThat(put.headers().firstValue("opc-content-crc32c")).hasValue(crc32c("weights"));
        HttpResponse<byte[]> part = client.send("GET", OBJECTS + "/x", null, "range", "bytes=0-1");
        assertThat(part.headers().firstValue("opc-content-crc32c")).hasValue(crc32c("weights"));
        assertThat(client.send("PUT", OBJECTS + "/y", "weights").headers().firstValue("opc-content-crc32c"))
                .isEmpty();
        assertError(
                client.send("PUT", OBJECTS + "/z", "weights", "opc-content-crc32c", crc32c("altered")),
                400,
                "InvalidChecksum");
        assertError(
                client.send("PUT", OBJECTS + "/z", "weights", "content-md5", "1B2M2Y8AsgTpgAmY7PhCfg=="),
                400,
                "UnmatchedContentMD5");
        assertError(client.send("GET", OBJECTS + "/z", null), 404, "ObjectNotFound");
    }

    @Test
    void listsInPagesByPrefixAndFields() {
        for (String name : List.of("b/2", "a", "b/1", "b/3", "b/c/4", "d")) {
            client.send("PUT", OBJECTS + "/" + name, "content of " + name);
        }
        List<String> names = new ArrayList<>();
        String start = "";
        int pages = 0;
        do {
            JsonObject page = json(client.send("GET", OBJECTS + "?prefix=b%2F&limit=2&start=" + start, null));
            page.getJsonArray("objects").forEach(entry -> names.add(((JsonObject) entry).getString("name")));
            start = page.getString("nextStartWith", "").replace("/", "%2F");
            pages++;
        } while (!start.isEmpty());
        assertThat(names).containsExactly("b/1", "b/2", "b/3", "b/c/4");
        assertThat(pages).isEqualTo(2);
        JsonObject detailed = json(client.send("GET", OBJECTS + "?prefix=d&fields=name,size,etag,md5", null));
        JsonObject entry = detailed.getJsonArray("objects").getJsonObject(0);
        assertThat(entry.fieldNames()).containsExactlyInAnyOrder("name", "size", "etag", "md5");
        assertThat(entry.getLong("size")).isEqualTo("content of d".length());
        JsonObject folded = json(client.send("GET", OBJECTS + "?delimiter=%2F", null));
        assertThat(folded.getJsonArray("prefixes")).containsExactly("b/");
        assertThat(folded.getJsonArray("objects")).hasSize(2);
        assertError(client.send("GET", OBJECTS + "?limit=1001", null), 400, "InvalidParameter");
        assertError(client.send("GET", "/n/penstock/b/none/o", null), 404, "BucketNotFound");
        assertError(client.send("GET", "/n/other/b/models/o", null), 404, "NamespaceNotFound");
    }

    @Test
    void joinsAMultipartUploadInTheOrderOfItsParts() {
        String target = UPLOADS + "/big%2Fone?uploadId=" + begin("big/one");
        String second = etag(client.send("PUT", target + "&uploadPartNum=2", "world"));
        String first = etag(client.send("PUT", target + "&uploadPartNum=1", "hello "));
        assertError(client.send("GET", OBJECTS + "/big/one", null), 404, "ObjectNotFound");
        JsonObject wrong = commit(part(1, second), part(2, first));
        assertError(client.send("POST", target, wrong.encode()), 400, "InvalidUploadPart");
        JsonObject unordered = commit(part(2, second), part(1, first));
        assertError(client.send("POST", target, unordered.encode()), 400, "InvalidUploadPartOrder");

        HttpResponse<byte[]> done = client.send(
                "POST", target, commit(part(1, first), part(2, second)).encode());
        assertThat(done.statusCode()).isEqualTo(200);
        HttpResponse<byte[]> read = client.send("GET", OBJECTS + "/big/one", null);
        assertThat(SdkClient.text(read)).isEqualTo("hello world");
        assertThat(read.headers().firstValue("opc-content-crc32c")).hasValue(crc32c("hello world"));
        assertThat(read.headers().firstValue("opc-multipart-md5").orElseThrow()).endsWith("-2");
        assertError(client.send("PUT", target + "&uploadPartNum=3", "late"), 404, "NoSuchUpload");
    }

    @Test
    void anAbortedUploadLeavesNothing() throws IOException {
        String target = UPLOADS + "/big?uploadId=" + begin("big");
        client.send("PUT", target + "&uploadPartNum=1", "hello");
        assertThat(client.send("DELETE", target, null).statusCode()).isEqualTo(204);
        assertError(client.send("GET", OBJECTS + "/big", null), 404, "ObjectNotFound");
        try (Stream<Path> files = Files.list(folder.resolve("buckets/models"))) {
            assertThat(files).isEmpty();
        }
    }

    @Test
    void objectsOutliveTheEmulator() throws IOException {
        Path file = Files.writeString(folder.resolve("file"), "from disk");
        String etag = emulator.putFile("models", "kept/object", file);
        emulator.close();
        try (Emulator again = Emulator.start(folder.resolve("buckets"), 0)) {
            again.register(CREDENTIALS);
            Path config = CREDENTIALS.writeConfigFile(folder.resolve("again"), "x");
            try (SdkClient reader = new SdkClient(again.endpoint(), config)) {
                HttpResponse<byte[]> read = reader.send("GET", OBJECTS + "/kept/object", null);
                assertThat(SdkClient.text(read)).isEqualTo("from disk");
                assertThat(etag(read)).isEqualTo(etag);
                assertThat(read.headers().firstValue("opc-content-crc32c")).hasValue(crc32c("from disk"));
            }
        }
    }

    @Test
    void noNameReachesOutOfTheFolder() throws IOException {
        Path secret = Files.writeString(folder.resolve("secret"), "secret");
        for (String name : List.of("../../secret", "..", "/etc/passwd", "a/../../../secret", "con\\x", "%00")) {
            String target = OBJECTS + "/" + URLEncoder.encode(name, StandardCharsets.UTF_8);
            assertThat(client.send("PUT", target, "harmless").statusCode()).isEqualTo(200);
            assertThat(SdkClient.text(client.send("GET", target, null))).isEqualTo("harmless");
            assertThat(client.send("DELETE", target, null).statusCode()).isEqualTo(204);
        }
        assertThat(Files.readString(secret)).isEqualTo("secret");
        assertError(client.send("POST", "/n/penstock/b/", "{\"name\":\"../out\"}"), 400, "InvalidBucketName");
        assertThat(folder.resolve("out")).doesNotExist();
    }

    private String begin(String object) {
        HttpResponse<byte[]> begun = client.send(
                "POST", UPLOADS, new JsonObject().put("object", object).encode(), "opc-checksum-algorithm", "CRC32C");
        return json(begun).getString("uploadId");
    }

    private static JsonObject part(int number, String etag) {
        return new JsonObject().put("partNum", number).put("etag", etag);
    }

    private static JsonObject commit(JsonObject... parts) {
        return new JsonObject().put("partsToCommit", new JsonArray(List.of(parts)));
    }

    private void assertRange(String range, int status, String body, String contentRange) {
        HttpResponse<byte[]> response = client.send("GET", OBJECTS + "/a/b", null, "range", range);
        assertThat(response.statusCode()).isEqualTo(status);
        assertThat(SdkClient.text(response)).isEqualTo(body);
        assertThat(response.headers().firstValue("content-range").orElse(null)).isEqualTo(contentRange);
    }

    private static void assertError(HttpResponse<byte[]> response, int status, String code) {
        assertThat(response.statusCode()).isEqualTo(status);
        assertThat(json(response).getString("code")).isEqualTo(code);
        assertThat(json(response).getString("message")).isNotEmpty();
    }

    private static JsonObject json(HttpResponse<byte[]> response) {
        return new JsonObject(SdkClient.text(response));
    }

    private static String etag(HttpResponse<byte[]> response) {
        return response.headers().firstValue("etag").orElseThrow();
    }

    private static String crc32c(String content) {
        CRC32C crc = new CRC32C();
        crc.update(content.getBytes(StandardCharsets.UTF_8));
        byte[] value =
                ByteBuffer.allocate(Integer.BYTES).putInt((int) crc.getValue()).array();
        return Base64.getEncoder().encodeToString(value);
    }
}
