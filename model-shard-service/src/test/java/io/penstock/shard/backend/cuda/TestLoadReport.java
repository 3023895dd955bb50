package io.penstock.shard.backend.cuda;

import static org.assertj.core.api.Assertions.assertThat;

import java.io.IOException;
import java.nio.file.Files;
import java.nio.file.Path;
import java.util.List;
import jdk.jfr.Recording;
import jdk.jfr.consumer.RecordedEvent;
import jdk.jfr.consumer.RecordingFile;
import org.junit.jupiter.api.Test;
import org.junit.jupiter.api.io.TempDir;

/// An operator holds a load's rate against the disk's, from the log or from a recording.
final class TestLoadReport {
    @Test
    void aRateIsBytesOverTime() {
        LoadReport report = new LoadReport(15_230_000_000L, 2_000_000_000L);
        assertThat(report.gigabytesASecond()).isEqualTo(7.615);
        assertThat(report)
                .hasToString(
                        "15.23 GB read in 2.00 s, 7.62 GB/s, reading, conversion and the way to the device together");
        assertThat(new LoadReport(0, 0).gigabytesASecond()).isZero();
    }

    @Test
    void aRecordingHasTheLoad(@TempDir Path folder) throws IOException {
        Path file = folder.resolve("load.jfr");
        try (Recording recording = new Recording()) {
            recording.start();
            LoadReport report = LoadReport.Loading.begun().done(4_096);
            recording.stop();
            recording.dump(file);
            assertThat(report.bytes()).isEqualTo(4_096);
        }
        assertThat(Files.size(file)).isPositive();
        List<RecordedEvent> loads = RecordingFile.readAllEvents(file).stream()
                .filter(event -> event.getEventType().getName().equals("io.penstock.shard.WeightLoad"))
                .toList();
        assertThat(loads).singleElement().satisfies(load -> {
            assertThat(load.getLong("bytes")).isEqualTo(4_096);
            assertThat(load.getDuration().isNegative()).isFalse();
        });
    }
}
