package io.penstock.scheduler.group;

import static org.assertj.core.api.Assertions.assertThat;

import io.opentelemetry.api.trace.Span;
import io.penstock.api.inference.FinishReason;
import io.penstock.api.inference.Finished;
import io.penstock.api.inference.Sampling;
import io.penstock.api.inference.Token;
import io.penstock.model.PenstockException;
import io.penstock.scheduler.batch.Sequence;
import io.penstock.scheduler.batch.SequenceRequest;
import io.penstock.scheduler.batch.TokenSink;
import java.util.ArrayList;
import java.util.Arrays;
import java.util.List;
import java.util.Map;

/// A client that knows what it must get, and keeps what it got over several schedulers.
public final class FakeClient implements TokenSink {
    public final int[] prompt;
    public final int maxTokens;
    public final boolean stops;
    public final int priority;
    public final long deadline;
    public final List<Integer> got = new ArrayList<>();

    public Span span = Span.getInvalid();
    public Map<String, String> trace = Map.of();
    public Sequence sequence;
    public Finished finished;
    public PenstockException failed;
    public long retryAfterMillis;
    public boolean cancelled;
    /// Tokens after which the client takes no more.
    public int patience = Integer.MAX_VALUE;

    public FakeClient(int[] prompt, int maxTokens, boolean stops, int priority, long deadline) {
        this.prompt = prompt;
        this.maxTokens = maxTokens;
        this.stops = stops;
        this.priority = priority;
        this.deadline = deadline;
    }

    public static FakeClient of(int promptLength, int maxTokens) {
        int[] prompt = new int[promptLength];
        Arrays.setAll(prompt, i -> i % FakeModel.VOCABULARY);
        return new FakeClient(prompt, maxTokens, false, 0, SequenceRequest.NO_DEADLINE);
    }

    /// The sequence to submit: what was got so far is resumed.
    public Sequence begin() {
        int[] tokens = Arrays.copyOf(prompt, prompt.length + got.size());
        for (int i = 0; i < got.size(); i++) {
            tokens[prompt.length + i] = got.get(i);
        }
        failed = null;
        sequence = new Sequence(
                new SequenceRequest(
                        "r" + prompt[0],
                        "fake",
                        tokens,
                        prompt.length,
                        Sampling.getDefaultInstance(),
                        stops ? new int[] {FakeModel.STOP} : new int[0],
                        maxTokens,
                        0,
                        -1,
                        priority,
                        deadline,
                        trace),
                this,
                span);
        return sequence;
    }

    @Override
    public boolean token(int position, Token token) {
        assertThat(ended()).as("a token after the end").isFalse();
        assertThat(position).as("position").isEqualTo(got.size());
        got.add(token.getId());
        return got.size() < patience;
    }

    @Override
    public void finished(Finished last) {
        assertThat(ended()).as("a second end").isFalse();
        finished = last;
    }

    @Override
    public void failed(PenstockException failure, long retryMillis) {
        assertThat(ended()).as("a second end").isFalse();
        failed = failure;
        retryAfterMillis = retryMillis;
    }

    public boolean ended() {
        return finished != null || failed != null || cancelled;
    }

    /// What was got is what a fault-free run gives; all of it, if the stream finished.
    public void check() {
        List<Integer> oracle = FakeModel.oracle(prompt, maxTokens, stops);
        assertThat(got).isEqualTo(oracle.subList(0, Math.min(got.size(), oracle.size())));
        if (finished != null) {
            assertThat(got).isEqualTo(oracle);
            assertThat(finished.getGeneratedTokens()).isEqualTo(oracle.size());
            assertThat(finished.getPromptTokens()).isEqualTo(prompt.length);
            assertThat(finished.getReason())
                    .isEqualTo(
                            oracle.size() == maxTokens
                                    ? FinishReason.FINISH_REASON_LENGTH
                                    : FinishReason.FINISH_REASON_STOP);
        }
    }
}
