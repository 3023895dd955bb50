package io.penstock.api;

import static org.assertj.core.api.Assertions.assertThat;

import java.time.Duration;
import java.util.Random;
import org.junit.jupiter.api.Test;

class TestBackoff {
    @Test
    void doublesUpToTheLimitAndStartsAgainAfterASuccess() {
        Backoff backoff = new Backoff(Duration.ofMillis(100), Duration.ofSeconds(2), new Random(1));
        long[] spans = {100, 200, 400, 800, 1_600, 2_000, 2_000};
        for (long span : spans) {
            assertThat(Duration.ofNanos(backoff.nextNanos()))
                    .isBetween(Duration.ofMillis(span / 2), Duration.ofMillis(span));
        }
        for (int i = 0; i < 100; i++) {
            assertThat(Duration.ofNanos(backoff.nextNanos())).isBetween(Duration.ofSeconds(1), Duration.ofSeconds(2));
        }
        backoff.reset();
        assertThat(Duration.ofNanos(backoff.nextNanos())).isBetween(Duration.ofMillis(50), Duration.ofMillis(100));
    }
}
