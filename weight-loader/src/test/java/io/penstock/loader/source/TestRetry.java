package io.penstock.loader.source;

import static org.assertj.core.api.Assertions.assertThat;
import static org.assertj.core.api.Assertions.assertThatThrownBy;

import io.penstock.model.ErrorCategory;
import io.penstock.model.PenstockException;
import java.time.Duration;
import java.time.ZoneOffset;
import java.time.ZonedDateTime;
import java.time.format.DateTimeFormatter;
import java.util.ArrayList;
import java.util.Collections;
import java.util.List;
import java.util.concurrent.CompletableFuture;
import java.util.concurrent.atomic.AtomicInteger;
import org.junit.jupiter.api.Test;

class TestRetry {
    private final List<String> retried = Collections.synchronizedList(new ArrayList<>());
    private final Retry retry = new Retry(3, Duration.ofMillis(1), Duration.ofMillis(40), retried::add);

    @Test
    void repeatsWhatFailsForAMoment() {
        AtomicInteger calls = new AtomicInteger();
        String answer = retry.call("x", String.class, () -> {
            if (calls.incrementAndGet() < 3) {
                throw new TransientFailure("reset", "gone");
            }
            return "here";
        });
        assertThat(answer).isEqualTo("here");
        assertThat(retried).containsExactly("reset", "reset");
    }

    @Test
    void givesUpInTheCategoryOfTheCause() {
        assertThatThrownBy(() -> retry.call("a file", String.class, () -> {
                    throw new TransientFailure("stalled", "silence");
                }))
                .isInstanceOfSatisfying(
                        PenstockException.class,
                        failure -> assertThat(failure.category()).isEqualTo(ErrorCategory.UNAVAILABLE))
                .hasMessageContaining("a file: given up after 3 attempts: silence");
        assertThatThrownBy(() -> retry.call("a file", String.class, () -> {
                    throw new TransientFailure("checksum", "wrong bytes");
                }))
                .isInstanceOfSatisfying(
                        PenstockException.class,
                        failure -> assertThat(failure.category()).isEqualTo(ErrorCategory.CORRUPT));
    }

    @Test
    void anInterruptEndsAWait() throws InterruptedException {
        Retry patient = new Retry(3, Duration.ofHours(1), Duration.ofHours(1), retried::add);
        CompletableFuture<String> end = new CompletableFuture<>();
        Thread waiting = Thread.startVirtualThread(() -> {
            try {
                end.complete(patient.call("x", String.class, () -> {
                    throw new TransientFailure("throttled", Duration.ofHours(1), "later", null);
                }));
            } catch (PenstockException e) {
                end.complete(e.getMessage());
            }
        });
        while (retried.isEmpty() && waiting.getState() != Thread.State.TIMED_WAITING) {
            Thread.onSpinWait();
        }
        waiting.interrupt();
        waiting.join();
        assertThat(end.join()).isEqualTo("x: stopped");
    }

    @Test
    void readsSecondsAndDatesOfRetryAfter() {
        assertThat(RemoteHttp.wait("7")).isEqualTo(Duration.ofSeconds(7));
        String inAnHour = DateTimeFormatter.RFC_1123_DATE_TIME.format(
                ZonedDateTime.now(ZoneOffset.UTC).plusHours(1));
        assertThat(RemoteHttp.wait(inAnHour)).isBetween(Duration.ofMinutes(59), Duration.ofHours(1));
        assertThat(RemoteHttp.wait("Tue, 24 Nov 2020 00:00:00 GMT")).isZero();
        assertThat(RemoteHttp.wait("soon")).isZero();
    }

    @Test
    void doesNotRepeatWhatCannotHelp() {
        assertThatThrownBy(() -> retry.call("x", String.class, () -> {
                    throw new PenstockException(ErrorCategory.NOT_FOUND, "no such file");
                }))
                .hasMessage("no such file");
        assertThat(retried).isEmpty();
    }

    @Test
    void waitsAsLongAsItIsAskedToAndNoLongerThanTheLimit() {
        AtomicInteger calls = new AtomicInteger();
        long begin = System.nanoTime();
        retry.call("x", String.class, () -> {
            if (calls.getAndIncrement() == 0) {
                throw new TransientFailure("throttled", Duration.ofHours(1), "later", null);
            }
            return "";
        });
        assertThat(Duration.ofNanos(System.nanoTime() - begin))
                .isBetween(Duration.ofMillis(39), Duration.ofSeconds(30));
    }
}
