package io.penstock.emulator;

import static org.assertj.core.api.Assertions.assertThat;
import static org.assertj.core.api.Assertions.assertThatThrownBy;

import io.vertx.core.json.JsonArray;
import io.vertx.core.json.JsonObject;
import java.io.IOException;
import java.io.UncheckedIOException;
import java.net.http.HttpResponse;
import java.nio.file.Path;
import java.time.Duration;
import java.util.Optional;
import org.junit.jupiter.api.AfterEach;
import org.junit.jupiter.api.BeforeEach;
import org.junit.jupiter.api.Test;
import org.junit.jupiter.api.io.TempDir;

/// What a client that resumes an upload relies on, and the faults that strike one.
class TestUploadFaults {
    private static final String UPLOADS = "/n/penstock/b/models/u";

    /// One for all tests: making a key takes long.
    private static final Credentials CREDENTIALS = Credentials.generate();

    @TempDir
    Path folder;

    private Emulator emulator;
    private SdkClient client;
    private String target;

    @BeforeEach
    void start() throws IOException {
        emulator = Emulator.start(folder.resolve("buckets"), 0);
        emulator.createBucket("models");
        emulator.register(CREDENTIALS);
        client = new SdkClient(emulator.endpoint(), CREDENTIALS.writeConfigFile(folder.resolve("oci"), "x"));
        String id = new JsonObject(SdkClient.text(client.send("POST", UPLOADS, "{\"object\":\"a\"}")))
                .getString("uploadId");
        target = UPLOADS + "/a?uploadId=" + id;
    }

    @AfterEach
    void stop() {
        client.close();
        emulator.close();
    }

    @Test
    void listsUploadsAndTheirPartsInPages() {
        put(1, "one");
        put(2, "two!");
        put(3, "three");
        JsonArray uploads = new JsonArray(SdkClient.text(client.send("GET", UPLOADS, null)));
        assertThat(uploads).hasSize(1);
        assertThat(uploads.getJsonObject(0).getString("object")).isEqualTo("a");
        HttpResponse<byte[]> first = client.send("GET", target + "&limit=2", null);
        JsonArray parts = new JsonArray(SdkClient.text(first));
        assertThat(parts).hasSize(2);
        assertThat(parts.getJsonObject(1).getInteger("partNumber")).isEqualTo(2);
        assertThat(parts.getJsonObject(1).getLong("size")).isEqualTo(4);
        String next = first.headers().firstValue("opc-next-page").orElseThrow();
        HttpResponse<byte[]> second = client.send("GET", target + "&limit=2&page=" + next, null);
        assertThat(new JsonArray(SdkClient.text(second))).hasSize(1);
        assertThat(second.headers().firstValue("opc-next-page")).isEmpty();
    }

    @Test
    void eachFaultDoesWhatItSays() {
        inject(new Fault.Refusal(503, Optional.of(Duration.ofSeconds(2))));
        HttpResponse<byte[]> refused = put(1, "x");
        assertThat(refused.statusCode()).isEqualTo(503);
        assertThat(refused.headers().firstValue("retry-after")).hasValue("2");
        inject(new Fault.ExpiredCredentials());
        assertThat(put(1, "x").statusCode()).isEqualTo(401);
        inject(new Fault.Corruption(1));
        // "xz" with its second byte inverted is not what this checksum is of.
        HttpResponse<byte[]> wrong =
                client.send("PUT", target + "&uploadPartNum=1", "xz", "content-md5", "ewpLcYmH9k1hGK8eRYKTBw==");
        assertThat(wrong.statusCode()).isEqualTo(400);
        inject(new Fault.Reset(-1));
        assertThatThrownBy(() -> put(1, "x")).isInstanceOf(UncheckedIOException.class);
        assertThat(parts()).isEmpty();
        // The answer is lost, the part is there.
        inject(new Fault.Reset(0));
        assertThatThrownBy(() -> put(1, "x")).isInstanceOf(UncheckedIOException.class);
        assertThat(parts()).hasSize(1);
        inject(new Fault.Latency(Duration.ofMillis(150)));
        long begin = System.nanoTime();
        assertThat(put(2, "late").statusCode()).isEqualTo(200);
        assertThat(System.nanoTime() - begin).isGreaterThan(140_000_000);
        assertThat(parts()).hasSize(2);
        assertThat(emulator.faults().struck()).isEqualTo(6);
    }

    private void inject(Fault fault) {
        emulator.faults().injectWrite(fault, 1, write -> write.step() == ObjectWrite.Step.PART);
    }

    private JsonArray parts() {
        return new JsonArray(SdkClient.text(client.send("GET", target, null)));
    }

    private HttpResponse<byte[]> put(int part, String body) {
        return client.send("PUT", target + "&uploadPartNum=" + part, body);
    }
}
