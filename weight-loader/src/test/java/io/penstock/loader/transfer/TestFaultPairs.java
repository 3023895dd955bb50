package io.penstock.loader.transfer;

import static org.assertj.core.api.Assertions.assertThat;

import io.penstock.emulator.Fault;
import io.penstock.emulator.Link;
import io.penstock.loader.source.Snapshot;
import io.penstock.model.PenstockException;
import java.nio.file.Files;
import java.nio.file.Path;
import java.time.Duration;
import java.util.ArrayList;
import java.util.Collections;
import java.util.List;
import java.util.Optional;
import java.util.Random;
import java.util.concurrent.ExecutionException;
import org.junit.jupiter.api.Test;
import org.junit.jupiter.api.Timeout;
import org.junit.jupiter.api.io.TempDir;

/// Faults seldom come alone. Two of them at once, at random places, passing or lasting, over a slow
/// link: the right bytes or a clear error, and never a wrong byte under a published name.
///
/// A few pairs here; `-Dpenstock.test.pairs=all` takes every one of them, passing and lasting.
@Timeout(value = 600, threadMode = Timeout.ThreadMode.SEPARATE_THREAD)
class TestFaultPairs {
    private static final int SIZE = 20 * Fixture.PIECE + 321;
    private static final int FEW = 8;

    private static final List<Fault> FAULTS = List.of(
            new Fault.Latency(Duration.ofMillis(30)),
            new Fault.Refusal(429, Optional.of(Duration.ofSeconds(1))),
            new Fault.Refusal(503, Optional.empty()),
            new Fault.Truncation(Fixture.PIECE + 5),
            new Fault.IgnoredRange(),
            new Fault.ShiftedRange(Fixture.PIECE),
            new Fault.Reset(-1),
            new Fault.Reset(Fixture.PIECE - 1),
            new Fault.Corruption(Fixture.PIECE + 7),
            new Fault.Stall(1000),
            new Fault.ExpiredCredentials(),
            new Fault.Replacement());

    @TempDir
    Path folder;

    private record Pair(Fault first, Fault second, boolean lasting) {}

    @Test
    void neverAWrongByteUnderAName() throws Exception {
        long seed = Long.getLong("penstock.test.seed", 3);
        Random random = new Random(seed);
        List<Pair> pairs = pairs();
        boolean all = "all".equals(System.getProperty("penstock.test.pairs"));
        if (!all) {
            Collections.shuffle(pairs, random);
            pairs = pairs.subList(0, FEW);
        }
        int right = 0;
        try (Fixture fixture = new Fixture(folder, SIZE)) {
            fixture.emulator.link(Link.of(Duration.ofMillis(1), 40_000_000));
            for (Pair pair : pairs) {
                right += strike(fixture, pair, random) ? 1 : 0;
            }
        }
        // Passing faults are got over, but for the object that is another one now and bytes that nothing
        // vouches for.
        assertThat(right).isGreaterThan(pairs.size() / 8);
        System.out.printf("%d pairs of faults, %d ended in the right bytes, seed %d%n", pairs.size(), right, seed);
    }

    private static List<Pair> pairs() {
        List<Pair> pairs = new ArrayList<>();
        for (int i = 0; i < FAULTS.size(); i++) {
            for (int j = i; j < FAULTS.size(); j++) {
                pairs.add(new Pair(FAULTS.get(i), FAULTS.get(j), false));
                pairs.add(new Pair(FAULTS.get(i), FAULTS.get(j), true));
            }
        }
        return pairs;
    }

    /// @return whether the right bytes came
    private static boolean strike(Fixture fixture, Pair pair, Random random) throws Exception {
        // A new version, so that nothing of it is in the cache.
        byte[] content = new byte[SIZE];
        random.nextBytes(content);
        fixture.emulator.putFile("models", "m/" + Fixture.NAME, Files.write(fixture.folder.resolve("new"), content));
        Snapshot snapshot = fixture.resolve();
        long first = random.nextLong(SIZE);
        long second = random.nextLong(SIZE);
        int times = pair.lasting() ? Integer.MAX_VALUE : 1 + random.nextInt(3);
        fixture.emulator.faults().inject(pair.first(), times, read -> read.offset() + read.length() > first);
        fixture.emulator.faults().inject(pair.second(), times, read -> read.offset() + read.length() > second);
        Fixture.Heard heard = fixture.ask(snapshot);
        try {
            heard.end.get();
            assertThat(fixture.awaitPublished(snapshot)).as("%s", pair).isEqualTo(content);
            return true;
        } catch (ExecutionException e) {
            assertThat(e.getCause())
                    .as("%s", pair)
                    .isInstanceOf(PenstockException.class)
                    .hasMessageContaining(Fixture.NAME.value());
            assertThat(fixture.published(snapshot)).as("%s", pair).doesNotExist();
            return false;
        } finally {
            fixture.emulator.faults().clear();
            heard.wish.close();
        }
    }
}
