package io.penstock.cli.weights;

import static org.assertj.core.api.Assertions.assertThat;

import io.penstock.api.weights.TierProgress;
import java.util.ArrayList;
import java.util.List;
import java.util.Optional;
import java.util.concurrent.CopyOnWriteArrayList;
import me.tongfei.progressbar.ProgressBarConsumer;
import org.junit.jupiter.api.Test;

/// Who waits for 140 GB sees from where they come, how fast, and for how long still.
class TestProgress {
    private static final long MEGABYTE = 1_000_000;

    private final List<Line> lines = new ArrayList<>();

    /// One line of a terminal 120 columns wide, and all that was ever in it.
    private static final class Line implements ProgressBarConsumer {
        private final List<String> shown = new CopyOnWriteArrayList<>();

        @Override
        public int getMaxRenderedLength() {
            return 120;
        }

        @Override
        public void accept(String text) {
            shown.add(text);
        }

        @Override
        public void close() {}
    }

    private Progress progress() {
        return new Progress("Fetch", Optional.of(() -> {
            lines.add(new Line());
            return lines.getLast();
        }));
    }

    private static TierProgress tier(String name, long done, long expected) {
        return TierProgress.newBuilder()
                .setTier(name)
                .setBytesDone(done * MEGABYTE)
                .setBytesExpected(expected * MEGABYTE)
                .build();
    }

    @Test
    void eachTierHasABarWithRateAndTimeToGo() {
        try (Progress progress = progress()) {
            progress.show(List.of(tier("fast", 10, 10), tier("oci", 0, 90)));
            progress.show(List.of(tier("fast", 10, 10), tier("oci", 45, 90)));
        }
        assertThat(lines).hasSize(2);
        assertThat(lines.getFirst().shown.getLast()).contains("Fetch fast").contains("10/10 MB");
        assertThat(lines.getLast().shown.getLast())
                .contains("Fetch oci")
                .contains("50%")
                .contains("45/90 MB")
                // What has passed, and what is left of it.
                .containsPattern("\\(\\d+:\\d\\d:\\d\\d / (\\d+:\\d\\d:\\d\\d|\\?)\\)")
                .containsPattern("[\\d.?]+( MB)?/s");
    }

    @Test
    void aTierThatFailsLeavesTheRestToAnother() {
        try (Progress progress = progress()) {
            progress.show(List.of(tier("durable", 20, 90)));
            progress.show(List.of(tier("durable", 20, 20), tier("oci", 10, 70)));
        }
        assertThat(lines.getFirst().shown.getLast()).contains("Fetch durable").contains("20/20 MB");
        assertThat(lines.getLast().shown.getLast()).contains("Fetch oci").contains("10/70 MB");
    }

    @Test
    void nothingIsShownWhereNobodyLooks() {
        try (Progress progress = new Progress("Fetch", Optional.empty())) {
            progress.show(List.of(tier("oci", 1, 2)));
            progress.show(1, 2);
        }
        assertThat(lines).isEmpty();
    }
}
