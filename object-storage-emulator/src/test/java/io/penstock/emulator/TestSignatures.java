package io.penstock.emulator;

import static org.assertj.core.api.Assertions.assertThat;

import java.io.IOException;
import java.net.URI;
import java.net.http.HttpRequest;
import java.net.http.HttpResponse;
import java.nio.file.Path;
import java.time.Instant;
import java.time.ZoneOffset;
import java.time.format.DateTimeFormatter;
import org.junit.jupiter.api.AfterEach;
import org.junit.jupiter.api.BeforeEach;
import org.junit.jupiter.api.Test;
import org.junit.jupiter.api.io.TempDir;

/// A client whose signing is wrong must find it out here and not against the real service.
class TestSignatures {
    private static final String OBJECTS = "/n/penstock/b/models/o";

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
        client = new SdkClient(emulator.endpoint(), CREDENTIALS.writeConfigFile(folder, "us-ashburn-1"));
    }

    @AfterEach
    void stop() {
        client.close();
        emulator.close();
    }

    @Test
    void acceptsWhatTheOfficialSdkSigns() {
        assertThat(client.send("GET", "/n/", null).statusCode()).isEqualTo(200);
        assertThat(client.send("GET", OBJECTS + "?prefix=a%20b&limit=3", null).statusCode())
                .isEqualTo(200);
        assertThat(client.send("PUT", OBJECTS + "/a%20b/c+d", "content").statusCode())
                .isEqualTo(200);
        HttpResponse<byte[]> read = client.send("GET", OBJECTS + "/a%20b/c+d", null);
        assertThat(SdkClient.text(read)).isEqualTo("content");
        assertThat(client.send("POST", "/n/penstock/b/", "{\"name\":\"more\"}").statusCode())
                .isEqualTo(200);
    }

    @Test
    void refusesARequestWithoutSignature() {
        assertRefused(HttpRequest.newBuilder(URI.create(emulator.endpoint() + OBJECTS)), "no Authorization");
    }

    @Test
    void refusesAKeyItDoesNotKnow() throws IOException {
        Path other = Credentials.generate().writeConfigFile(folder.resolve("other"), "us-ashburn-1");
        try (SdkClient stranger = new SdkClient(emulator.endpoint(), other)) {
            assertRefused(stranger.signed("GET", OBJECTS, null), "keyId is not known");
        }
    }

    @Test
    void refusesAKnownNameWithAnotherKey() throws IOException {
        Credentials forged = new Credentials(
                CREDENTIALS.tenancy(),
                CREDENTIALS.user(),
                CREDENTIALS.fingerprint(),
                Credentials.generate().keys());
        Path config = forged.writeConfigFile(folder.resolve("forged"), "us-ashburn-1");
        try (SdkClient forger = new SdkClient(emulator.endpoint(), config)) {
            assertRefused(forger.signed("GET", OBJECTS, null), "does not match");
        }
    }

    @Test
    void refusesARevokedKey() {
        assertThat(client.send("GET", OBJECTS, null).statusCode()).isEqualTo(200);
        emulator.revoke(CREDENTIALS);
        assertRefused(client.signed("GET", OBJECTS, null), "keyId is not known");
    }

    @Test
    void refusesAnAlteredTarget() {
        HttpRequest signed = client.signed("GET", OBJECTS + "?prefix=a", null).build();
        HttpRequest.Builder altered = HttpRequest.newBuilder(URI.create(emulator.endpoint() + OBJECTS + "?prefix=b"));
        altered.headers(SdkClient.headers(signed, "").toArray(new String[0]));
        assertRefused(altered, "does not match");
    }

    @Test
    void refusesAnAlteredMethod() {
        client.send("PUT", OBJECTS + "/kept", "content");
        HttpRequest.Builder altered = client.signed("GET", OBJECTS + "/kept", null);
        assertRefused(altered.DELETE(), "does not match");
        assertThat(client.send("HEAD", OBJECTS + "/kept", null).statusCode()).isEqualTo(200);
    }

    @Test
    void refusesAnAlteredDate() {
        String later = ObjectReads.httpDate(Instant.now().plusSeconds(60));
        assertRefused(client.signed("GET", OBJECTS, null).setHeader("date", later), "does not match");
    }

    @Test
    void refusesADateFarOff() {
        for (long skew : new long[] {-301, 302}) {
            String date = DateTimeFormatter.RFC_1123_DATE_TIME.format(
                    Instant.now().plusSeconds(skew).atOffset(ZoneOffset.UTC));
            assertRefused(client.signed("GET", OBJECTS, null).setHeader("date", date), "5 minutes");
        }
    }

    @Test
    void refusesAnotherBodyThanWasSigned() {
        HttpRequest.Builder altered = client.signed("POST", "/n/penstock/b/", "{\"name\":\"more\"}");
        assertRefused(altered.POST(HttpRequest.BodyPublishers.ofString("{\"name\":\"less\"}")), "x-content-sha256");
    }

    @Test
    void refusesABodyThatIsNotSigned() {
        HttpRequest unsigned = client.signed("GET", "/n/penstock/b/", null).build();
        HttpRequest.Builder altered = HttpRequest.newBuilder(unsigned.uri());
        altered.headers(SdkClient.headers(unsigned, "").toArray(new String[0]));
        assertRefused(altered.POST(HttpRequest.BodyPublishers.ofString("{\"name\":\"less\"}")), "must be signed");
    }

    @Test
    void refusesSignaturesThatLeaveTheHostOpen() {
        HttpRequest signed = client.signed("GET", OBJECTS, null).build();
        String authorization = signed.headers().firstValue("authorization").orElseThrow();
        HttpRequest.Builder altered = HttpRequest.newBuilder(signed.uri());
        altered.headers(SdkClient.headers(signed, "authorization").toArray(new String[0]));
        altered.setHeader("authorization", authorization.replace(" host\"", "\""));
        assertRefused(altered, "must be signed: [host]");
    }

    private void assertRefused(HttpRequest.Builder request, String reason) {
        HttpResponse<byte[]> response = client.send(request.build());
        assertThat(response.statusCode()).isEqualTo(401);
        assertThat(SdkClient.text(response)).contains("\"code\":\"NotAuthenticated\"", reason);
    }
}
