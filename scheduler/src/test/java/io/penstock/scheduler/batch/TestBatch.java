package io.penstock.scheduler.batch;

import static org.assertj.core.api.Assertions.assertThat;

import io.opentelemetry.api.trace.Span;
import io.penstock.api.inference.Finished;
import io.penstock.api.inference.Sampling;
import io.penstock.api.inference.Token;
import io.penstock.api.shard.Row;
import io.penstock.api.shard.Step;
import io.penstock.model.PenstockException;
import java.util.ArrayList;
import java.util.List;
import java.util.Map;
import java.util.Random;
import org.junit.jupiter.api.Test;

/// What a step is made of: who gets to run, who waits, and for how long.
final class TestBatch {
    private static final long SECOND = 1_000_000_000L;

    private final WaitingQueue queue = new WaitingQueue();
    private final StepPace pace = new StepPace(SECOND);
    private long arrivals;

    private Sequence sequence(int promptLength, int maxTokens, int priority) {
        TokenSink sink = new TokenSink() {
            @Override
            public boolean token(int position, Token token) {
                return true;
            }

            @Override
            public void finished(Finished finished) {}

            @Override
            public void failed(PenstockException failure, long retryAfterMillis) {}
        };
        Sequence sequence = new Sequence(
                new SequenceRequest(
                        "r",
                        "m",
                        new int[promptLength],
                        promptLength,
                        Sampling.getDefaultInstance(),
                        new int[0],
                        maxTokens,
                        0,
                        -1,
                        priority,
                        SequenceRequest.NO_DEADLINE,
                        Map.of()),
                sink,
                Span.getInvalid());
        sequence.maxLength(promptLength + maxTokens);
        sequence.arrive(arrivals++, 0);
        queue.add(sequence);
        return sequence;
    }

    private static Batch batch(StepPace pace, int maxSequences, int maxStepTokens, int kvBlocks, int stages) {
        return new Batch(new Batch.Limits(4, maxSequences, maxStepTokens, kvBlocks, stages), pace);
    }

    /// Reports the oldest step; each row that samples gets a token.
    private static void report(Batch batch) {
        for (StepRecord.Part part : batch.stepReported().parts()) {
            if (part.samples()) {
                part.sequence().append(1);
            }
        }
    }

    private static List<Integer> tokens(StepRecord step) {
        return step.message().getRowsList().stream().map(Row::getTokens).toList();
    }

    @Test
    void aLongPromptIsComputedInChunks() {
        sequence(25, 5, 0);
        Batch batch = batch(pace, 8, 10, 100, 1);
        Step first = batch.plan(queue, 0).message();
        assertThat(first.getAdmissionsCount()).isEqualTo(1);
        assertThat(first.getRows(0).getTokens()).isEqualTo(10);
        assertThat(first.getRows(0).getAppendedBlocksCount()).isEqualTo(3);
        assertThat(first.getRows(0).getSamples()).isFalse();
        Step second = batch.plan(queue, 0).message();
        assertThat(second.getAdmissionsCount()).isZero();
        assertThat(second.getRows(0).getStart()).isEqualTo(10);
        assertThat(second.getRows(0).getAppendedBlocksCount()).isEqualTo(2);
        Step third = batch.plan(queue, 0).message();
        assertThat(third.getRows(0).getTokens()).isEqualTo(5);
        assertThat(third.getRows(0).getSamples()).isTrue();
        // Its token is not known yet, and is not needed to plan on.
        Step fourth = batch.plan(queue, 0).message();
        assertThat(fourth.getRows(0).getTokens()).isEqualTo(1);
        assertThat(fourth.getRows(0).getStart()).isEqualTo(25);
    }

    @Test
    void decodingIsNotHeldUpByPrompts() {
        sequence(4, 50, 0);
        sequence(4, 50, 0);
        Batch batch = batch(pace, 8, 12, 100, 1);
        batch.plan(queue, 0);
        sequence(40, 5, -1);
        assertThat(tokens(batch.plan(queue, 0))).containsExactly(1, 1, 10);
        assertThat(tokens(batch.plan(queue, 0))).containsExactly(1, 1, 10);
    }

    @Test
    void nothingIsAskedForPastTheLengthLimit() {
        sequence(4, 3, 0);
        Batch batch = batch(pace, 8, 12, 100, 1);
        assertThat(tokens(batch.plan(queue, 0))).containsExactly(4);
        assertThat(tokens(batch.plan(queue, 0))).containsExactly(1);
        assertThat(tokens(batch.plan(queue, 0))).containsExactly(1);
        assertThat(batch.plan(queue, 0)).isNull();
    }

    @Test
    void theLastArrivedGivesWayAndComesBackWithItsTokens() {
        Sequence first = sequence(7, 20, 0);
        Sequence second = sequence(7, 20, 0);
        Batch batch = batch(pace, 8, 64, 5, 1);
        batch.plan(queue, 0);
        report(batch);
        assertThat(batch.running()).containsExactly(first, second);
        while (second.state() == Sequence.State.RUNNING) {
            assertThat(batch.plan(queue, 0)).isNotNull();
            report(batch);
        }
        assertThat(batch.preempted()).containsExactly(second);
        assertThat(queue.first()).isSameAs(second);
        assertThat(first.state()).isEqualTo(Sequence.State.RUNNING);
        int known = second.size();
        assertThat(known).isGreaterThan(7);
        batch.checkIntegrity();

        batch.leave(first);
        first.end();
        Step step = batch.plan(queue, 0).message();
        assertThat(step.getRetiredSlotsCount()).isEqualTo(1);
        assertThat(step.getAdmissions(0).getTokensCount()).isEqualTo(known);
        assertThat(step.getAdmissions(0).getPromptLength()).isEqualTo(7);
        assertThat(step.getRows(0).getStart()).isZero();
        assertThat(second.preemptions()).isEqualTo(1);
        batch.checkIntegrity();
    }

    @Test
    void aBetterPriorityKeepsItsBlocks() {
        Sequence lesser = sequence(7, 20, 5);
        Batch batch = batch(pace, 8, 64, 5, 1);
        batch.plan(queue, 0);
        Sequence better = sequence(7, 20, 1);
        report(batch);
        while (lesser.state() == Sequence.State.RUNNING && better.state() != Sequence.State.ENDED) {
            assertThat(batch.plan(queue, 0)).isNotNull();
            report(batch);
        }
        assertThat(better.state()).isEqualTo(Sequence.State.RUNNING);
        assertThat(lesser.state()).isEqualTo(Sequence.State.WAITING);
    }

    @Test
    void stagesHoldDifferentSequences() {
        List<Sequence> all = new ArrayList<>();
        for (int i = 0; i < 6; i++) {
            all.add(sequence(1, 50, 0));
        }
        Batch batch = batch(pace, 8, 64, 100, 3);
        batch.plan(queue, 0);
        report(batch);
        List<Sequence> inFlight = new ArrayList<>();
        for (int stage = 0; stage < 3; stage++) {
            batch.plan(queue, 0).parts().forEach(part -> inFlight.add(part.sequence()));
        }
        assertThat(inFlight).hasSize(6).containsExactlyInAnyOrderElementsOf(all);
    }

    @Test
    void aLoneSequenceIsInEveryStepInFlight() {
        sequence(1, 50, 0);
        Batch batch = batch(pace, 8, 64, 100, 3);
        batch.plan(queue, 0);
        assertThat(tokens(batch.plan(queue, 0))).containsExactly(1);
        assertThat(tokens(batch.plan(queue, 0))).containsExactly(1);
    }

    @Test
    void aSlowDeviceIsGivenSmallerChunks() {
        sequence(1_000, 5, 0);
        Batch batch = batch(pace, 8, 512, 1_000, 1);
        assertThat(tokens(batch.plan(queue, 0))).as("before anything is known").containsExactly(64);
        // 25 tokens a second: a chunk of 512 would take 20 s, and be taken for a rank that hangs.
        pace.measured(64, 64 * SECOND / 25);
        assertThat(tokens(batch.plan(queue, 0))).containsExactly(25);
        // Decode steps tell nothing of what a prompt's token costs.
        pace.measured(1, SECOND);
        assertThat(tokens(batch.plan(queue, 0))).containsExactly(25);
        for (int i = 0; i < 20; i++) {
            pace.measured(25, 25 * SECOND / 400);
        }
        assertThat(batch.plan(queue, 0).tokens()).isBetween(390, 400);
    }

    @Test
    void promptsGetOnHoweverManyDecode() {
        for (int i = 0; i < 40; i++) {
            sequence(1, 50, 0);
        }
        Batch batch = batch(pace, 64, 512, 1_000, 1);
        batch.plan(queue, 0);
        pace.measured(40, 40 * SECOND);
        sequence(100, 5, 0);
        StepRecord step = batch.plan(queue, 0);
        assertThat(step.parts()).hasSize(41);
        assertThat(step.tokens()).isEqualTo(40 + 16);
    }

    /// A preempted sequence's token may still be on its way. Admitted before it is here, the sequence would be computed
    /// without that token, and the client would get it twice. It takes a client of another sequence to leave at the
    /// right moment, so chance looks for it.
    @Test
    void aPreemptedSequenceWaitsForItsLastToken() {
        Random random = new Random(11);
        int waited = 0;
        for (int round = 0; round < 300; round++) {
            Batch batch = batch(pace, 8, 32, 14 + random.nextInt(10), 1 + random.nextInt(4));
            int depth = 2 + random.nextInt(4);
            for (int i = 0; i < 6; i++) {
                sequence(1 + random.nextInt(12), 30, random.nextInt(2));
            }
            for (int turn = 0; turn < 150; turn++) {
                if (batch.stepsInFlight() < depth) {
                    StepRecord step = batch.plan(queue, 0);
                    if (step != null) {
                        for (Sequence admitted : step.admitted()) {
                            assertThat(partsInFlight(batch, admitted))
                                    .as("steps in flight of a sequence that begins")
                                    .isEqualTo(1);
                        }
                    }
                }
                if (batch.stepsInFlight() > 0 && random.nextInt(3) == 0) {
                    report(batch);
                }
                if (random.nextInt(40) == 0 && !batch.running().isEmpty()) {
                    Sequence leaving =
                            batch.running().get(random.nextInt(batch.running().size()));
                    batch.leave(leaving);
                    leaving.end();
                }
                waited += !queue.isEmpty() && partsInFlight(batch, queue.first()) > 0 ? 1 : 0;
            }
            while (batch.stepsInFlight() > 0) {
                report(batch);
            }
            batch.checkIntegrity();
            queue.all().forEach(queue::remove);
        }
        assertThat(waited).as("sequences that waited for a token").isPositive();
    }

    private static int partsInFlight(Batch batch, Sequence sequence) {
        int parts = 0;
        for (StepRecord step : batch.inFlight()) {
            for (StepRecord.Part part : step.parts()) {
                parts += part.sequence().equals(sequence) ? 1 : 0;
            }
        }
        return parts;
    }
}
