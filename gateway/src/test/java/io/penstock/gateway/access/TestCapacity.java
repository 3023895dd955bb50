package io.penstock.gateway.access;

import static org.assertj.core.api.Assertions.assertThat;
import static org.assertj.core.api.Assertions.assertThatThrownBy;

import io.penstock.model.ErrorCategory;
import io.penstock.model.PenstockException;
import java.time.Duration;
import org.junit.jupiter.api.Test;

class TestCapacity {
    private final Capacity capacity = new Capacity(2, 100);

    private static void assertRefused(Runnable action, ErrorCategory category) {
        assertThatThrownBy(action::run)
                .isInstanceOfSatisfying(
                        PenstockException.class, e -> assertThat(e.category()).isEqualTo(category));
    }

    @Test
    void requestsAndBytesAreBoundedAndGivenBack() {
        capacity.enter();
        capacity.enter();
        assertRefused(capacity::enter, ErrorCategory.OVERLOADED);
        capacity.leave();
        capacity.enter();
        capacity.hold(60);
        assertRefused(() -> capacity.hold(41), ErrorCategory.OVERLOADED);
        capacity.hold(40);
        capacity.release(100);
        capacity.hold(100);
        assertThat(capacity.requests()).isEqualTo(2);
    }

    @Test
    void aClosedOneTakesNothingAndEndsWithItsLastRequest() throws InterruptedException {
        capacity.enter();
        capacity.close();
        assertRefused(capacity::enter, ErrorCategory.UNAVAILABLE);
        assertThat(capacity.awaitNone(Duration.ofMillis(1))).isFalse();
        Thread last = Thread.ofVirtual().start(capacity::leave);
        assertThat(capacity.awaitNone(Duration.ofSeconds(10))).isTrue();
        last.join();
    }
}
