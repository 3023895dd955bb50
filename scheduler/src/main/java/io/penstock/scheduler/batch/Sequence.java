package io.penstock.scheduler.batch;

import io.opentelemetry.api.trace.Span;
import io.penstock.api.inference.FinishReason;
import io.penstock.api.inference.Finished;
import io.penstock.api.shard.Admission;
import io.penstock.scheduler.kv.BlockTable;
import java.util.Arrays;
import java.util.Comparator;

/// One text being generated: its tokens, and how far the shards are with it. Owned by the group's loop
/// thread.
///
/// `length` counts the tokens that exist or will, once steps in flight have reported; `size` those that
/// are known. A row is planned against `length`, so that the next step need not wait for this one's
/// result.
public final class Sequence {
    /// Who goes first: lower priority number, then earlier arrival.
    public static final Comparator<Sequence> ORDER =
            Comparator.<Sequence>comparingInt(s -> s.request.priority()).thenComparingLong(s -> s.arrival);

    /// Where a sequence is in its life.
    public enum State {
        WAITING,
        RUNNING,
        ENDED
    }

    private final SequenceRequest request;
    private final TokenSink sink;
    private final Span span;
    private long arrival;
    private State state = State.WAITING;

    private int[] tokens;
    private int size;
    private int maxLength;

    // Of the epoch: meaningless while waiting.
    int slot = -1;
    int computed;
    int length;
    int unreported;
    long lastStep;
    final BlockTable blocks = new BlockTable();

    private int preemptions;
    private int failures;
    private boolean suspect;

    private long arrivedNanos;
    private long scheduledNanos = -1;
    private long firstTokenNanos = -1;
    private long lastTokenNanos = -1;

    /// @param span of the request; ended by whoever records the sequence's end
    public Sequence(SequenceRequest request, TokenSink sink, Span span) {
        this.request = request;
        this.sink = sink;
        this.span = span;
        tokens = Arrays.copyOf(request.tokens(), request.tokens().length + 64);
        size = request.tokens().length;
    }

    public SequenceRequest request() {
        return request;
    }

    public TokenSink sink() {
        return sink;
    }

    public Span span() {
        return span;
    }

    public State state() {
        return state;
    }

    void state(State next) {
        state = next;
    }

    /// @param number unique in the group, ascending
    public void arrive(long number, long now) {
        arrival = number;
        arrivedNanos = now;
    }

    public void end() {
        state = State.ENDED;
    }

    public boolean ended() {
        return state == State.ENDED;
    }

    /// Tokens known, prompt included.
    public int size() {
        return size;
    }

    public int generated() {
        return size - request.promptLength();
    }

    /// Tokens the sequence may reach, prompt included.
    public int maxLength() {
        return maxLength;
    }

    public void maxLength(int tokensInAll) {
        maxLength = tokensInAll;
    }

    public void append(int token) {
        if (size == tokens.length) {
            tokens = Arrays.copyOf(tokens, Math.min(2 * size, Math.max(maxLength, size + 1)));
        }
        tokens[size++] = token;
    }

    public boolean stopsAt(int token) {
        return Arrays.binarySearch(request.stopTokens(), token) >= 0;
    }

    /// Tokens that the next row would have to compute for the sequence to sample.
    int remaining() {
        return length - computed;
    }

    /// Whether there is a token left to sample that no step has been asked for.
    boolean runnable() {
        return length < maxLength;
    }

    /// Back to what was before it ran, its tokens kept.
    void restart() {
        state = State.WAITING;
        slot = -1;
        computed = 0;
        length = size;
    }

    /// As [#restart], and no report of an earlier step will come.
    void forgetEpoch() {
        restart();
        unreported = 0;
        lastStep = 0;
        blocks.clear();
    }

    void preempted() {
        preemptions++;
    }

    public int preemptions() {
        return preemptions;
    }

    /// Was in a step that failed. A suspect runs with no other suspect beside it, so that the one to blame
    /// is found.
    public int blame() {
        suspect = true;
        return ++failures;
    }

    public boolean suspect() {
        return suspect;
    }

    public void cleared() {
        suspect = false;
    }

    void scheduled(long now) {
        if (scheduledNanos < 0) {
            scheduledNanos = now;
        }
    }

    /// @return nanoseconds since the token before, or -1 for the first
    public long tokenAt(long now) {
        long gap = lastTokenNanos < 0 ? -1 : now - lastTokenNanos;
        if (firstTokenNanos < 0) {
            firstTokenNanos = now;
        }
        lastTokenNanos = now;
        return gap;
    }

    public long arrivedNanos() {
        return arrivedNanos;
    }

    /// When it first ran; -1: never.
    public long scheduledNanos() {
        return scheduledNanos;
    }

    /// -1: no token yet.
    public long firstTokenNanos() {
        return firstTokenNanos;
    }

    /// -1: no token yet.
    public long lastTokenNanos() {
        return lastTokenNanos;
    }

    /// The full record for the ranks.
    Admission admission() {
        Admission.Builder admission = Admission.newBuilder()
                .setSlot(slot)
                .setPromptLength(request.promptLength())
                .setSampling(request.sampling())
                .setMinTokens(request.minTokens())
                .setMaxLength(maxLength)
                .putAllTraceContext(request.trace());
        for (int i = 0; i < size; i++) {
            admission.addTokens(tokens[i]);
        }
        for (int stop : request.stopTokens()) {
            admission.addStopTokenIds(stop);
        }
        if (request.topLogprobs() >= 0) {
            admission.setTopLogprobs(request.topLogprobs());
        }
        return admission.build();
    }

    /// @param stopToken -1 unless a stop token ended it
    public Finished finish(int stopToken, long now) {
        long scheduled = scheduledNanos < 0 ? now : scheduledNanos;
        long first = firstTokenNanos < 0 ? now : firstTokenNanos;
        Finished.Builder finished = Finished.newBuilder()
                .setReason(stopToken < 0 ? FinishReason.FINISH_REASON_LENGTH : FinishReason.FINISH_REASON_STOP)
                .setPromptTokens(request.promptLength())
                .setGeneratedTokens(generated())
                .setQueueMicros((scheduled - arrivedNanos) / 1_000)
                .setPrefillMicros((first - scheduled) / 1_000)
                .setDecodeMicros((now - first) / 1_000)
                .setPreemptions(preemptions);
        if (stopToken >= 0) {
            finished.setStopTokenId(stopToken);
        }
        return finished.build();
    }
}
