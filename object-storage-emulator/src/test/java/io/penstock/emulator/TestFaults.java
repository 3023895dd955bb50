package io.penstock.emulator;

import static org.assertj.core.api.Assertions.assertThat;
import static org.assertj.core.api.Assertions.assertThatThrownBy;

import java.io.IOException;
import java.io.UncheckedIOException;
import java.net.URI;
import java.net.http.HttpClient;
import java.net.http.HttpRequest;
import java.net.http.HttpResponse;
import java.net.http.HttpResponse.BodyHandlers;
import java.nio.file.Files;
import java.nio.file.Path;
import java.time.Duration;
import java.util.Arrays;
import java.util.Optional;
import java.util.Random;
import org.junit.jupiter.api.AfterEach;
import org.junit.jupiter.api.BeforeEach;
import org.junit.jupiter.api.Test;
import org.junit.jupiter.api.io.TempDir;

/// A fault that does not do what it says would let a client pass that cannot stand it.
class TestFaults {
    private static final String OBJECT = "/n/penstock/b/models/o/x";

    /// One for all tests: making a key takes long.
    private static final Credentials CREDENTIALS = Credentials.generate();

    @TempDir
    Path folder;

    private final byte[] content = new byte[300_000];
    private Emulator emulator;
    private SdkClient client;

    @BeforeEach
    void start() throws IOException {
        new Random(7).nextBytes(content);
        emulator = Emulator.start(folder.resolve("buckets"), 0);
        emulator.createBucket("models");
        emulator.putFile("models", "x", Files.write(folder.resolve("x"), content));
        emulator.register(CREDENTIALS);
        client = new SdkClient(emulator.endpoint(), CREDENTIALS.writeConfigFile(folder.resolve("oci"), "x"));
    }

    @AfterEach
    void stop() {
        client.close();
        emulator.close();
    }

    @Test
    void refusesWithTheTimeToWait() {
        emulator.faults().inject(new Fault.Refusal(429, Optional.of(Duration.ofSeconds(3))), 1);
        emulator.faults().inject(new Fault.Refusal(503, Optional.empty()), 1);
        HttpResponse<byte[]> first = read();
        assertThat(first.statusCode()).isEqualTo(429);
        assertThat(first.headers().firstValue("retry-after")).hasValue("3");
        assertThat(SdkClient.text(first)).contains("TooManyRequests");
        assertThat(read().statusCode()).isEqualTo(503);
        assertIntact();
        assertThat(emulator.faults().struck()).isEqualTo(2);
    }

    @Test
    void delays() {
        emulator.faults().inject(new Fault.Latency(Duration.ofMillis(150)), 1);
        long begin = System.nanoTime();
        assertThat(read().statusCode()).isEqualTo(206);
        assertThat(Duration.ofNanos(System.nanoTime() - begin)).isGreaterThanOrEqualTo(Duration.ofMillis(150));
    }

    @Test
    void aLinkDelaysAndPacesEveryReadByItsConnection() {
        emulator.link(new Link(Duration.ofMillis(30), connection -> connection == 0 ? 1_000_000 : 0));
        long begin = System.nanoTime();
        assertIntact();
        assertThat(Duration.ofNanos(System.nanoTime() - begin))
                .isBetween(Duration.ofMillis(30 + 150), Duration.ofSeconds(10));
        assertThat(emulator.traffic().reads().getFirst().connection()).isZero();
        emulator.link(Link.DIRECT);
        assertIntact();
    }

    @Test
    void refusesCredentialsForAWhile() {
        emulator.faults().inject(new Fault.ExpiredCredentials(), 1);
        assertThat(read().statusCode()).isEqualTo(401);
        assertIntact();
    }

    @Test
    void aPreauthenticatedRequestNeedsNoSignatureAndReachesItsBucketOnly() throws Exception {
        emulator.createBucket("other");
        URI granted = emulator.preauthenticate("models");
        assertThat(get(granted + OBJECT).body()).isEqualTo(content);
        assertThat(get(granted + OBJECT.replace("models", "other")).statusCode())
                .isEqualTo(404);
        assertThat(get(emulator.endpoint() + "/p/guess" + OBJECT).statusCode()).isEqualTo(404);
    }

    private static HttpResponse<byte[]> get(String address) throws Exception {
        try (HttpClient plain = HttpClient.newHttpClient()) {
            return plain.send(HttpRequest.newBuilder(URI.create(address)).build(), BodyHandlers.ofByteArray());
        }
    }

    @Test
    void truncates() {
        emulator.faults().inject(new Fault.Truncation(10), 1);
        assertThatThrownBy(this::read).isInstanceOf(UncheckedIOException.class).hasStackTraceContaining("EOF");
        assertIntact();
    }

    @Test
    void resets() {
        emulator.faults().inject(new Fault.Reset(100), 1);
        assertThatThrownBy(this::read).isInstanceOf(UncheckedIOException.class).hasStackTraceContaining("reset");
        assertIntact();
    }

    @Test
    void ignoresTheRange() {
        emulator.faults().inject(new Fault.IgnoredRange(), 1);
        HttpResponse<byte[]> response = read();
        assertThat(response.statusCode()).isEqualTo(200);
        assertThat(response.body()).isEqualTo(content);
    }

    @Test
    void answersAnotherRange() {
        emulator.faults().inject(new Fault.ShiftedRange(5), 1);
        HttpResponse<byte[]> response = read();
        assertThat(response.headers().firstValue("content-range")).hasValue("bytes 1005-200004/300000");
        assertThat(response.body()).isEqualTo(Arrays.copyOfRange(content, 1005, 200_005));
    }

    @Test
    void invertsOneByte() {
        emulator.faults().inject(new Fault.Corruption(77), 1);
        byte[] wanted = Arrays.copyOfRange(content, 1000, 200_000);
        wanted[77] = (byte) ~wanted[77];
        assertThat(read().body()).isEqualTo(wanted);
    }

    @Test
    void replacesTheObject() {
        String etag = read().headers().firstValue("etag").orElseThrow();
        emulator.faults().inject(new Fault.Replacement(), 1);
        HttpResponse<byte[]> pinned = client.send("GET", OBJECT, null, "if-match", etag);
        assertThat(pinned.statusCode()).isEqualTo(412);
        assertThat(read().body()[0]).isEqualTo((byte) ~content[1000]);
    }

    @Test
    void strikesOnlyWhatItIsMeantFor() {
        emulator.faults().inject(new Fault.Corruption(0), 1, read -> read.offset() == 4096);
        assertIntact();
        byte[] struck =
                client.send("GET", OBJECT, null, "range", "bytes=4096-4096").body();
        assertThat(struck).containsExactly((byte) ~content[4096]);
        assertThat(emulator.traffic().reads()).hasSize(2);
        assertThat(emulator.traffic().bytes()).isEqualTo(199_001);
    }

    private HttpResponse<byte[]> read() {
        return client.send("GET", OBJECT, null, "range", "bytes=1000-199999");
    }

    private void assertIntact() {
        assertThat(read().body()).isEqualTo(Arrays.copyOfRange(content, 1000, 200_000));
    }
}
