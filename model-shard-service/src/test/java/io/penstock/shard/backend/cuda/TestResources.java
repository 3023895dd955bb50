package io.penstock.shard.backend.cuda;

import static org.assertj.core.api.Assertions.assertThat;
import static org.assertj.core.api.Assertions.assertThatThrownBy;

import java.util.ArrayList;
import java.util.List;
import org.junit.jupiter.api.Test;

/// What is not given back is lost to the next epoch: gigabytes of a device.
final class TestResources {
    private final List<String> released = new ArrayList<>();

    private Resources three() {
        Resources resources = new Resources();
        resources.hold(() -> released.add("memory"));
        resources.hold(() -> {
            released.add("library");
            throw new IllegalStateException("library");
        });
        resources.hold(() -> {
            released.add("graph");
            throw new IllegalStateException("graph");
        });
        return resources;
    }

    @Test
    void allAreReleasedInReverseWhateverFails() {
        Resources resources = three();
        assertThatThrownBy(resources::close)
                .hasMessage("graph")
                .satisfies(failure -> assertThat(failure.getSuppressed())
                        .singleElement()
                        .satisfies(other -> assertThat(other).hasMessage("library")));
        assertThat(released).containsExactly("graph", "library", "memory");
        // A second end finds nothing.
        resources.close();
        assertThat(released).hasSize(3);
    }

    @Test
    void aFailureIsNotHiddenByThoseOfItsCleaning() {
        OutOfMemoryError cause = new OutOfMemoryError("the device");
        three().closeAfter(cause);
        assertThat(released).containsExactly("graph", "library", "memory");
        assertThat(cause.getSuppressed())
                .singleElement()
                .satisfies(other -> assertThat(other).hasMessage("graph"));
    }
}
