package io.penstock.gateway.fake;

import io.quarkus.test.junit.QuarkusTestProfile;
import java.util.HashMap;
import java.util.List;
import java.util.Map;

/// A gateway before two [FakeScheduler]s, with bounds that a test reaches in a second.
public class TinyGateway implements QuarkusTestProfile {
    public static final int MAX_BODY = 256 << 10;
    public static final int MAX_CONCURRENT = 40;

    @Override
    public Map<String, String> getConfigOverrides() {
        return new HashMap<>(Map.ofEntries(
                Map.entry("quarkus.http.test-port", "0"),
                Map.entry("quarkus.grpc.server.test-port", "0"),
                Map.entry("quarkus.otel.sdk.disabled", "false"),
                Map.entry("quarkus.otel.traces.exporter", "cdi"),
                Map.entry("quarkus.otel.simple", "true"),
                Map.entry("quarkus.shutdown.timeout", "1s"),
                Map.entry("penstock.gateway.max-body", Integer.toString(MAX_BODY)),
                Map.entry("penstock.gateway.max-concurrent", Integer.toString(MAX_CONCURRENT)),
                Map.entry("penstock.gateway.resume-timeout", "3s"),
                Map.entry("penstock.gateway.stall-timeout", "1s"),
                Map.entry("penstock.gateway.keep-alive", "200ms")));
    }

    @Override
    public List<TestResourceEntry> testResources() {
        return List.of(new TestResourceEntry(FakeSchedulers.class));
    }

    /// The same, for callers with a key.
    public static class WithKeys extends TinyGateway {
        @Override
        public Map<String, String> getConfigOverrides() {
            Map<String, String> config = super.getConfigOverrides();
            config.put("penstock.gateway.api-keys", "first-key,second-key");
            return config;
        }
    }
}
