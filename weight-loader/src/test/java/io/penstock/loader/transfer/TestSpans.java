package io.penstock.loader.transfer;

import static org.assertj.core.api.Assertions.assertThat;
import static org.assertj.core.api.Assertions.assertThatThrownBy;

import io.micrometer.core.instrument.simple.SimpleMeterRegistry;
import io.opentelemetry.api.trace.StatusCode;
import io.opentelemetry.sdk.trace.data.SpanData;
import io.penstock.emulator.Fault;
import io.penstock.loader.SpanRecord;
import io.penstock.loader.cache.CacheDirectory;
import io.penstock.loader.cache.DurableTier;
import io.penstock.loader.cache.DurableTier.Demote;
import io.penstock.loader.cache.Eviction;
import io.penstock.loader.cache.SnapshotStore;
import io.penstock.loader.source.OciAccount;
import io.penstock.loader.source.Renewable;
import io.penstock.loader.source.Snapshot;
import java.nio.file.Path;
import java.time.Duration;
import java.util.List;
import java.util.Map;
import java.util.Optional;
import org.junit.jupiter.api.Test;
import org.junit.jupiter.api.Timeout;
import org.junit.jupiter.api.io.TempDir;

/// Whoever asks why a start took so long finds it in the trace: one span a file, with the bytes and where they came
/// from.
@Timeout(value = 60, threadMode = Timeout.ThreadMode.SEPARATE_THREAD)
class TestSpans {
    private static final int SIZE = 12 * Fixture.PIECE - 5;

    @TempDir
    Path folder;

    private final SpanRecord record = new SpanRecord();

    private Fixture.Parts node(Fixture fixture, String fast) {
        CacheDirectory directory = new CacheDirectory(folder.resolve("durable"), Fixture.PIECE);
        DurableTier durable = new DurableTier(
                directory,
                new Eviction(directory, new SnapshotStore(directory), 0),
                new DurableTier.Policy(true, Demote.COMPLETE));
        OciAccount account = OciAccount.read(fixture.config, "DEFAULT", Optional.of(fixture.emulator.endpoint()));
        return Fixture.Parts.of(
                new CacheDirectory(folder.resolve(fast), Fixture.PIECE),
                new Renewable<>(() -> account),
                new SimpleMeterRegistry(),
                0,
                new TransferSettings(
                        Fixture.PART,
                        Fixture.PART,
                        Duration.ofSeconds(1),
                        Fixture.CONNECTIONS,
                        Fixture.MEMORY,
                        Fixture.STALL),
                Optional.of(durable),
                record.tracer());
    }

    private Snapshot fetch(Fixture.Parts parts) throws Exception {
        Snapshot snapshot = parts.source().resolve("m", "");
        FileWish wish = parts.transfers().wish(snapshot, snapshot.file(Fixture.NAME), parts.source(), List.of());
        Fixture.Heard heard = new Fixture.Heard(wish);
        wish.ask(heard);
        try {
            heard.end.get();
        } finally {
            wish.close();
            Fixture.awaitIdle(parts, snapshot);
        }
        return snapshot;
    }

    @Test
    void aFileIsOneSpanThatSaysWhatCameAndFromWhere() throws Exception {
        try (Fixture fixture = new Fixture(folder, SIZE)) {
            fixture.stop();
            Snapshot snapshot;
            try (Fixture.Parts parts = node(fixture, "fast")) {
                snapshot = fetch(parts);
                assertThat(parts.transfers().bytesDurable(snapshot.file(Fixture.NAME)))
                        .isEqualTo(SIZE);
                // All of it is there: nothing is fetched, and that is no span.
                fetch(parts);
            }
            assertThat(record.spans("weights.fetch")).hasSize(1);
            SpanData span = record.spans("weights.fetch").getFirst();
            assertThat(SpanRecord.attributes(span))
                    .containsExactlyInAnyOrderEntriesOf(Map.of(
                            "penstock.model",
                            "m",
                            "penstock.revision",
                            snapshot.revision(),
                            "penstock.file",
                            Fixture.NAME.value(),
                            "penstock.file.size",
                            (long) SIZE,
                            "penstock.source",
                            "oci",
                            "penstock.tier",
                            "fast",
                            "penstock.file.bytes_present",
                            (long) SIZE,
                            "penstock.file.bytes_from_source",
                            (long) SIZE,
                            "penstock.file.bytes_from_durable",
                            0L));
            assertThat(span.getStatus().getStatusCode()).isEqualTo(StatusCode.UNSET);
            assertThat(span.getEndEpochNanos()).isGreaterThan(span.getStartEpochNanos());

            try (Fixture.Parts parts = node(fixture, "empty")) {
                fetch(parts);
            }
            Map<String, Object> second =
                    SpanRecord.attributes(record.spans("weights.fetch").getLast());
            assertThat(second)
                    .containsEntry("penstock.file.bytes_from_source", 0L)
                    .containsEntry("penstock.file.bytes_from_durable", (long) SIZE);
            fixture.start();
        }
    }

    @Test
    void aFileThatCannotBeHadIsASpanThatSaysWhy() throws Exception {
        try (Fixture fixture = new Fixture(folder, SIZE)) {
            fixture.stop();
            try (Fixture.Parts parts = node(fixture, "fast")) {
                fixture.emulator.faults().inject(new Fault.Refusal(500, Optional.empty()), Integer.MAX_VALUE);
                assertThatThrownBy(() -> fetch(parts)).hasMessageContaining("given up");
            }
            SpanData span = record.spans("weights.fetch").getFirst();
            assertThat(span.getStatus().getStatusCode()).isEqualTo(StatusCode.ERROR);
            assertThat(span.getStatus().getDescription()).contains("given up");
            fixture.start();
        }
    }
}
