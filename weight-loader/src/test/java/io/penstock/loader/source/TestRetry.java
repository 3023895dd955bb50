package io.penstock.loader.source;

import static org.assertj.core.api.Assertions.assertThat;
import static org.assertj.core.api.Assertions.assertThatThrownBy;

import io.penstock.model.ErrorCategory;
import io.penstock.model.PenstockException;
import java.time.Duration;
import java.util.ArrayList;
import java.util.List;
import java.util.concurrent.atomic.AtomicInteger;
import java.util.concurrent.atomic.AtomicLong;
import org.junit.jupiter.api.Test;

class TestRetry {
    private final List<String> retried = new ArrayList<>();
    private final Retry retry = new Retry(3, Duration.ofMillis(1), Duration.ofMillis(40), retried::add);

    @Test
    void repeatsWhatFailsForAMoment() {
        AtomicInteger calls = new AtomicInteger();
        String answer = retry.call("x", () -> {
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
        assertThatThrownBy(() -> retry.call("a file", () -> {
                    throw new TransientFailure("stalled", "silence");
                }))
                .isInstanceOfSatisfying(
                        PenstockException.class,
                        failure -> assertThat(failure.category()).isEqualTo(ErrorCategory.UNAVAILABLE))
                .hasMessageContaining("a file: given up after 3 attempts: silence");
        assertThatThrownBy(() -> retry.call("a file", () -> {
                    throw new TransientFailure("checksum", "wrong bytes");
                }))
                .isInstanceOfSatisfying(
                        PenstockException.class,
                        failure -> assertThat(failure.category()).isEqualTo(ErrorCategory.CORRUPT));
    }

    @Test
    void attemptsThatAchieveSomethingDoNotCount() {
        AtomicLong progress = new AtomicLong();
        retry.call("x", progress::get, () -> {
            if (progress.get() < 10) {
                progress.incrementAndGet();
                throw new TransientFailure("truncated", "one piece at a time");
            }
            return "";
        });
        assertThat(retried).hasSize(10);
    }

    @Test
    void doesNotRepeatWhatCannotHelp() {
        assertThatThrownBy(() -> retry.call("x", () -> {
                    throw new PenstockException(ErrorCategory.NOT_FOUND, "no such file");
                }))
                .hasMessage("no such file");
        assertThat(retried).isEmpty();
    }

    @Test
    void waitsAsLongAsItIsAskedToAndNoLongerThanTheLimit() {
        AtomicInteger calls = new AtomicInteger();
        long begin = System.nanoTime();
        retry.call("x", () -> {
            if (calls.getAndIncrement() == 0) {
                throw new TransientFailure("throttled", Duration.ofHours(1), "later", null);
            }
            return "";
        });
        assertThat(Duration.ofNanos(System.nanoTime() - begin))
                .isBetween(Duration.ofMillis(39), Duration.ofSeconds(30));
    }
}
