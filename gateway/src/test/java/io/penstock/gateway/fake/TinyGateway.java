package io.penstock.gateway.fake;

import static org.awaitility.Awaitility.await;

import io.quarkus.test.junit.QuarkusTestProfile;
import io.restassured.RestAssured;
import io.restassured.specification.RequestSpecification;
import java.io.IOException;
import java.net.HttpURLConnection;
import java.net.URI;
import java.time.Duration;
import java.util.HashMap;
import java.util.List;
import java.util.Map;
import org.eclipse.microprofile.config.ConfigProvider;

/// A gateway before two [FakeScheduler]s, with bounds that a test reaches in a second.
public class TinyGateway implements QuarkusTestProfile {
    public static final int MAX_BODY = 256 << 10;
    public static final int MAX_BODIES_HELD = 8 << 20;
    public static final int MAX_CONCURRENT = 40;
    public static final String KEY = "first-key";
    public static final String OTHER_KEY = "second-key";

    @Override
    public Map<String, String> getConfigOverrides() {
        return new HashMap<>(Map.ofEntries(
                Map.entry("quarkus.http.test-port", "0"),
                Map.entry("quarkus.grpc.server.test-port", "0"),
                Map.entry("quarkus.otel.sdk.disabled", "false"),
                Map.entry("quarkus.otel.traces.exporter", "cdi"),
                Map.entry("quarkus.otel.simple", "true"),
                Map.entry("quarkus.otel.bsp.schedule.delay", "50ms"),
                Map.entry("quarkus.shutdown.timeout", "1s"),
                Map.entry("penstock.gateway.api-keys", KEY + "," + OTHER_KEY),
                Map.entry("penstock.gateway.max-body", Integer.toString(MAX_BODY)),
                Map.entry("penstock.gateway.max-bodies-held", Integer.toString(MAX_BODIES_HELD)),
                Map.entry("penstock.gateway.max-concurrent", Integer.toString(MAX_CONCURRENT)),
                Map.entry("penstock.gateway.resume-timeout", "2s"),
                Map.entry("penstock.gateway.stall-timeout", "1s"),
                Map.entry("penstock.gateway.head-timeout", "2s"),
                Map.entry("penstock.gateway.body-timeout", "3s"),
                Map.entry("penstock.gateway.keep-alive", "200ms")));
    }

    /// A request by somebody who is let in.
    public static RequestSpecification given() {
        return RestAssured.given().header("authorization", "Bearer " + KEY);
    }

    public static int port() {
        return ConfigProvider.getConfig().getValue("quarkus.http.test-port", Integer.class);
    }

    /// Waits until `/q/health/ready` has this status.
    public static void awaitReadiness(int status) {
        await().atMost(Duration.ofSeconds(15))
                .pollDelay(Duration.ZERO)
                .pollInterval(Duration.ofMillis(20))
                .until(() -> readiness() == status);
    }

    private static int readiness() throws IOException {
        HttpURLConnection probe = (HttpURLConnection) URI.create("http://localhost:" + port() + "/q/health/ready")
                .toURL()
                .openConnection();
        try {
            return probe.getResponseCode();
        } finally {
            probe.disconnect();
        }
    }

    @Override
    public List<TestResourceEntry> testResources() {
        return List.of(new TestResourceEntry(FakeSchedulers.class), new TestResourceEntry(Certificate.class));
    }
}
