package io.penstock.loader.transfer;

import static org.assertj.core.api.Assertions.assertThat;
import static org.assertj.core.api.Assertions.assertThatThrownBy;

import io.penstock.emulator.Fault;
import io.penstock.loader.source.Snapshot;
import io.penstock.loader.verify.Manifest;
import io.penstock.model.ErrorCategory;
import io.penstock.model.PenstockException;
import java.io.IOException;
import java.nio.file.Files;
import java.nio.file.Path;
import java.time.Duration;
import java.util.Map;
import java.util.Optional;
import java.util.stream.Stream;
import org.junit.jupiter.api.Test;
import org.junit.jupiter.api.Timeout;
import org.junit.jupiter.api.io.TempDir;
import org.junit.jupiter.params.ParameterizedTest;
import org.junit.jupiter.params.provider.Arguments;
import org.junit.jupiter.params.provider.MethodSource;

/// Every fault ends in the right bytes or in an error that says what is wrong; never in a wrong byte
/// under a published name.
@Timeout(value = 30, threadMode = Timeout.ThreadMode.SEPARATE_THREAD)
class TestFaultsOfTheSource {
    private static final int SIZE = 24 * Fixture.PIECE + 99;

    @TempDir
    Path folder;

    static Stream<Arguments> passing() {
        return Stream.of(
                Arguments.of(new Fault.Latency(Duration.ofMillis(100)), 3),
                Arguments.of(new Fault.Refusal(429, Optional.of(Duration.ofSeconds(1))), 3),
                Arguments.of(new Fault.Refusal(503, Optional.empty()), 3),
                Arguments.of(new Fault.Refusal(500, Optional.empty()), 3),
                Arguments.of(new Fault.Truncation(0), 3),
                Arguments.of(new Fault.Truncation(Fixture.PIECE + 5), 8),
                Arguments.of(new Fault.IgnoredRange(), 3),
                Arguments.of(new Fault.ShiftedRange(Fixture.PIECE), 3),
                Arguments.of(new Fault.Reset(-1), 3),
                Arguments.of(new Fault.Reset(Fixture.PIECE - 1), 3),
                Arguments.of(new Fault.Stall(1000), 2),
                Arguments.of(new Fault.Corruption(12_345), 1));
    }

    @ParameterizedTest
    @MethodSource("passing")
    void aFaultThatPassesLeavesNoTrace(Fault fault, int times) throws Exception {
        try (Fixture fixture = new Fixture(folder, SIZE)) {
            Snapshot snapshot = fixture.resolve();
            fixture.emulator.faults().inject(fault, times);
            Fixture.Heard heard = fixture.ask(snapshot);
            heard.end.get();
            assertThat(fixture.emulator.faults().struck()).isEqualTo(times);
            assertThat(heard.present).containsExactly(new ByteRange(0, SIZE));
            assertThat(fixture.awaitPublished(snapshot)).isEqualTo(fixture.content);
        }
    }

    static Stream<Arguments> lasting() {
        return Stream.of(
                Arguments.of(new Fault.Refusal(429, Optional.empty()), ErrorCategory.UNAVAILABLE, "429"),
                Arguments.of(new Fault.Refusal(503, Optional.empty()), ErrorCategory.UNAVAILABLE, "503"),
                Arguments.of(new Fault.Truncation(0), ErrorCategory.UNAVAILABLE, "given up"),
                Arguments.of(new Fault.IgnoredRange(), ErrorCategory.UNAVAILABLE, "200 instead of 206"),
                Arguments.of(new Fault.ShiftedRange(Fixture.PIECE), ErrorCategory.UNAVAILABLE, "answered with 'bytes"),
                Arguments.of(new Fault.Reset(-1), ErrorCategory.UNAVAILABLE, "given up"),
                Arguments.of(new Fault.Stall(0), ErrorCategory.UNAVAILABLE, "no byte for"),
                Arguments.of(new Fault.Corruption(7), ErrorCategory.CORRUPT, "checksum"),
                Arguments.of(new Fault.Replacement(), ErrorCategory.CORRUPT, "changed at its source"));
    }

    @ParameterizedTest
    @MethodSource("lasting")
    void aFaultThatLastsIsAClearErrorAndTheNextTryStartsSound(Fault fault, ErrorCategory category, String message)
            throws Exception {
        try (Fixture fixture = new Fixture(folder, SIZE)) {
            Snapshot snapshot = fixture.resolve();
            fixture.emulator.faults().inject(fault, Integer.MAX_VALUE, read -> read.offset() >= 4L * Fixture.PIECE);
            assertThatThrownBy(fixture.ask(snapshot).end::get)
                    .cause()
                    .isInstanceOfSatisfying(
                            PenstockException.class,
                            failure -> assertThat(failure.category()).isEqualTo(category))
                    .hasMessageContaining(message)
                    .hasMessageContaining(Fixture.NAME.value());
            assertThat(fixture.published(snapshot)).doesNotExist();

            fixture.emulator.faults().clear();
            fixture.emulator.putFile("models", "m/" + Fixture.NAME, fixture.folder.resolve("original"));
            Snapshot fresh = fixture.resolve();
            fixture.ask(fresh).end.get();
            assertThat(fixture.awaitPublished(fresh)).isEqualTo(fixture.content);
        }
    }

    @Test
    void aManifestFindsAWrongPieceAtOnceAndOnlyThatIsFetchedAgain() throws Exception {
        try (Fixture fixture = new Fixture(folder, SIZE)) {
            putManifest(fixture);
            Snapshot snapshot = fixture.resolve();
            assertThat(snapshot.files()).hasSize(1);
            fixture.emulator.traffic().clear();
            fixture.emulator.faults().inject(new Fault.Corruption(Fixture.PIECE + 3), 1, read -> read.offset() > 0);
            Fixture.Heard heard = fixture.ask(snapshot, new ByteRange(0, SIZE - 1L));
            heard.end.get();
            assertThat(fixture.count("penstock.loader.checksum.failures")).isEqualTo(1);
            assertThat(fixture.registry
                            .counter("penstock.loader.retries", "cause", "checksum")
                            .count())
                    .isEqualTo(1);
            // What a busy machine has repeated for its silence is not the wrong piece's doing.
            double others = fixture.count("penstock.loader.retries") - 1;
            assertThat(fixture.emulator.traffic().bytes())
                    .isBetween(SIZE + 3L * Fixture.PIECE, SIZE + Math.round((1 + others) * Fixture.PART));
            assertThat(TestTransfers.merged(heard.present)).containsExactly(new ByteRange(0, SIZE - 1L));
            assertThat(fixture.awaitPublished(snapshot)).isEqualTo(fixture.content);
        }
    }

    @Test
    void withAManifestAPartOfAFileIsNeverAnnouncedWrong() throws Exception {
        try (Fixture fixture = new Fixture(folder, SIZE)) {
            putManifest(fixture);
            Snapshot snapshot = fixture.resolve();
            fixture.emulator.faults().inject(new Fault.Corruption(0), Integer.MAX_VALUE);
            Fixture.Heard heard = fixture.ask(snapshot, new ByteRange(0, 10));
            assertThatThrownBy(heard.end::get)
                    .cause()
                    .isInstanceOfSatisfying(
                            PenstockException.class,
                            failure -> assertThat(failure.category()).isEqualTo(ErrorCategory.CORRUPT));
            assertThat(heard.present).isEmpty();
        }
    }

    @Test
    void aManifestOfOtherFilesIsRefused() throws IOException {
        try (Fixture fixture = new Fixture(folder, SIZE)) {
            putManifest(fixture);
            Path longer = Files.write(fixture.folder.resolve("longer"), new byte[SIZE + 1]);
            fixture.emulator.putFile("models", "m/" + Fixture.NAME, longer);
            assertThatThrownBy(fixture::resolve).hasMessageContaining(Manifest.NAME + " does not describe");
        }
    }

    private static void putManifest(Fixture fixture) throws IOException {
        Manifest manifest =
                Manifest.of(Map.of(Fixture.NAME.value(), fixture.folder.resolve("original")), Fixture.PIECE);
        Path file = Files.writeString(fixture.folder.resolve("manifest"), manifest.toJson());
        fixture.emulator.putFile("models", "m/" + Manifest.NAME, file);
    }
}
