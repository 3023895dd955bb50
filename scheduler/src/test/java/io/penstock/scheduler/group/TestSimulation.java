package io.penstock.scheduler.group;

import static io.penstock.scheduler.group.FakeCluster.SECOND;
import static org.assertj.core.api.Assertions.assertThat;

import io.penstock.api.shard.FailureCause;
import io.penstock.model.ErrorCategory;
import io.penstock.scheduler.batch.SequenceRequest;
import java.util.ArrayList;
import java.util.List;
import java.util.Random;
import java.util.logging.Level;
import java.util.logging.Logger;
import org.junit.jupiter.api.AfterAll;
import org.junit.jupiter.api.BeforeAll;
import org.junit.jupiter.params.ParameterizedTest;
import org.junit.jupiter.params.provider.CsvSource;

/// Thousands of sequences on fake ranks, with everything that can happen to them, in one thread and by a
/// seed: whatever happens, every stream is contiguous and equal to what a run without faults gives, and
/// nothing is left behind.
final class TestSimulation {
    private static final int CONTEXT = 120;
    private static final int SEQUENCES = 600;

    /// Every lost rank is a warning, and thousands are lost.
    private static final Logger QUIET = Logger.getLogger(ShardGroup.class.getName());

    private final List<FakeClient> clients = new ArrayList<>();
    private final List<FakeClient> open = new ArrayList<>();
    private Random random;
    private FakeCluster cluster;
    private int submitted;
    private int cancelled;
    private int preemptions;
    private int losses;
    private int restarts;

    @BeforeAll
    static void quiet() {
        QUIET.setLevel(Level.SEVERE);
    }

    @AfterAll
    static void loud() {
        QUIET.setLevel(null);
    }

    /// @param blocks few, so that sequences are preempted
    @ParameterizedTest
    @CsvSource({
        // seed, tp, pp, blockSize, blocks, stepTokens, sequences, stepsInFlight
        "1, 1, 1, 4, 64, 32, 8, 2",
        "2, 1, 1, 4, 31, 16, 8, 2",
        "3, 2, 1, 1, 130, 64, 16, 2",
        "4, 1, 2, 4, 48, 24, 8, 2",
        "5, 3, 2, 16, 20, 48, 12, 2",
        "6, 1, 4, 4, 200, 40, 32, 2",
        "7, 1, 1, 4, 31, 5, 4, 1",
        "8, 2, 3, 8, 40, 13, 10, 5",
        "9, 1, 1, 4, 400, 64, 64, 2",
        "10, 1, 3, 4, 30, 120, 64, 3",
    })
    void everyStreamIsWhole(
            int seed, int tp, int pp, int blockSize, int blocks, int stepTokens, int sequences, int stepsInFlight) {
        random = new Random(seed);
        GroupLimits limits = new GroupLimits(
                blockSize,
                stepTokens,
                sequences,
                40,
                stepsInFlight,
                SECOND,
                10 * SECOND,
                5 * SECOND,
                60 * SECOND,
                1_000);
        cluster = new FakeCluster(limits, tp, pp, blocks, CONTEXT);
        cluster.serving();
        while (submitted < SEQUENCES) {
            happen();
        }
        settle();

        for (FakeClient client : clients) {
            assertThat(client.ended()).isTrue();
            client.check();
        }
        GroupSnapshot snapshot = cluster.group.snapshot();
        assertThat(snapshot.kvBlocksUsed()).isZero();
        assertThat(snapshot.running()).isZero();
        assertThat(snapshot.waiting()).isZero();
        cluster.group.checkIntegrity();
        assertThat(cluster.ranks).allMatch(rank -> rank.deepest <= Math.max(stepsInFlight, pp));
        assertThat(clients.stream().filter(client -> client.finished != null).count())
                .as("streams that finished")
                .isGreaterThan(SEQUENCES / 2);
        assertThat(cancelled).as("streams cancelled").isGreaterThan(10);
        assertThat(losses).as("ranks lost").isGreaterThan(10);
        assertThat(restarts).as("schedulers lost").isPositive();
        if (blocks * blockSize <= 260) {
            assertThat(preemptions).as("preemptions").isPositive();
        }
    }

    private void happen() {
        int dice = random.nextInt(1_000);
        if (dice < 60) {
            submit();
        } else if (dice < 66) {
            cancel();
        } else if (dice < 69) {
            breakSomething();
        } else if (dice < 90) {
            attachAgain();
        } else if (dice < 95) {
            cluster.now += random.nextLong(SECOND);
            cluster.group.turn();
        } else if (dice < 96 && random.nextInt(3) == 0) {
            restart();
        } else {
            runSome();
        }
        open.removeIf(FakeClient::ended);
    }

    private void submit() {
        int[] prompt = new int[1 + random.nextInt(random.nextInt(10) == 0 ? 90 : 20)];
        for (int i = 0; i < prompt.length; i++) {
            prompt[i] = random.nextInt(FakeModel.VOCABULARY);
        }
        int maxTokens = 1 + random.nextInt(Math.min(40, CONTEXT - prompt.length));
        long deadline =
                random.nextInt(20) == 0 ? cluster.now + random.nextLong(5 * SECOND) : SequenceRequest.NO_DEADLINE;
        FakeClient client = new FakeClient(prompt, maxTokens, random.nextInt(4) > 0, random.nextInt(3), deadline);
        if (random.nextInt(50) == 0) {
            client.patience = 1 + random.nextInt(maxTokens);
        }
        submitted++;
        clients.add(client);
        open.add(client);
        cluster.submit(client);
        if (client.failed != null) {
            assertThat(client.failed.category()).isIn(ErrorCategory.OVERLOADED, ErrorCategory.DEADLINE);
        }
    }

    private void cancel() {
        if (!open.isEmpty()) {
            cluster.cancel(open.get(random.nextInt(open.size())));
            cancelled++;
        }
    }

    private void runSome() {
        for (int n = 2 * cluster.ranks.size(); n > 0; n--) {
            FakeRank rank = cluster.ranks.get(random.nextInt(cluster.ranks.size()));
            if (rank.cut != null) {
                rank.attachment = null;
            }
            if (rank.attachment != null && rank.hasOrders()) {
                cluster.report(rank, rank.run());
                cluster.now += 1_000_000;
            }
        }
        if (random.nextInt(20) == 0) {
            cluster.group.checkIntegrity();
        }
    }

    private void breakSomething() {
        FakeRank rank = cluster.ranks.get(random.nextInt(cluster.ranks.size()));
        if (rank.attachment == null) {
            return;
        }
        losses++;
        switch (random.nextInt(5)) {
            case 0 -> cluster.lose(rank);
            case 1 -> cluster.report(rank, rank.fail(FailureCause.FAILURE_CAUSE_PEER));
            case 2 -> cluster.report(rank, rank.fail(FailureCause.FAILURE_CAUSE_STEP));
            case 3 -> cluster.report(rank, rank.fail(FailureCause.FAILURE_CAUSE_DEVICE));
            default -> {
                // Nobody answers for longer than a step may take: whoever owes a report is cut off.
                cluster.now += 11 * SECOND;
                cluster.group.turn();
            }
        }
    }

    /// Ranks that are away dial again, some at once, some later.
    private void attachAgain() {
        for (FakeRank rank : cluster.ranks) {
            if (rank.cut != null) {
                rank.attachment = null;
            }
            if (rank.attachment == null && random.nextBoolean()) {
                cluster.attach(rank);
                cluster.group.turn();
            }
        }
    }

    private void restart() {
        restarts++;
        open.removeIf(FakeClient::ended);
        open.forEach(client -> preemptions += client.sequence.preemptions());
        cluster.restartScheduler();
        // As gateways do: the same request, with what was delivered. Some come before the ranks.
        boolean before = random.nextBoolean();
        if (!before) {
            cluster.attachAll();
        } else {
            cluster.attach(cluster.ranks.getFirst());
        }
        for (FakeClient client : open) {
            cluster.submit(client);
        }
    }

    private void settle() {
        for (int turn = 0; !open.isEmpty() && turn < 100_000; turn++) {
            attachAgain();
            cluster.step();
            cluster.now += 10_000_000;
            cluster.group.turn();
            open.removeIf(FakeClient::ended);
        }
        assertThat(open).as("streams that never end").isEmpty();
        while (cluster.step()) {
            cluster.group.turn();
        }
        clients.forEach(client -> preemptions += client.sequence.preemptions());
    }
}
