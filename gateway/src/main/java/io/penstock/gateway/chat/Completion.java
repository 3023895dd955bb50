package io.penstock.gateway.chat;

import io.penstock.api.inference.Finished;
import io.penstock.api.inference.Token;
import io.penstock.gateway.dispatch.SequenceEvent;
import io.penstock.gateway.dispatch.SequenceStream;
import io.penstock.gateway.telemetry.GenerationTrace;
import io.penstock.model.ErrorCategory;
import io.penstock.model.PenstockException;
import java.time.Duration;
import java.util.ArrayDeque;
import java.util.ArrayList;
import java.util.List;
import java.util.Optional;
import java.util.concurrent.CancellationException;
import java.util.concurrent.CopyOnWriteArrayList;
import java.util.concurrent.LinkedBlockingQueue;
import java.util.concurrent.TimeUnit;

/// A request under way. One thread takes its events; it takes no more from the schedulers than that thread takes from
/// here, so whoever writes slowly holds its own sequences up and nobody else's.
public final class Completion implements AutoCloseable {
    /// Wakes a reader that waits when the request is cancelled.
    private static final SequenceEvent CANCELLED =
            new SequenceEvent.Failed(-1, new PenstockException(ErrorCategory.UNAVAILABLE, "cancelled by the client"));

    private final CompletionRequest request;
    private final GenerationTrace trace;
    private final List<SequenceStream> sequences = new CopyOnWriteArrayList<>();
    /// Bounded by the flow control of the sequences.
    private final LinkedBlockingQueue<SequenceEvent> inbox = new LinkedBlockingQueue<>();

    private final ArrayDeque<CompletionEvent> ready = new ArrayDeque<>();
    private final ChoiceText[] choices;
    private final ChoiceParts[] parts;
    private final List<String> reasons = new ArrayList<>();
    private int completionTokens;
    private int cachedTokens;
    private volatile boolean cancelled;
    private volatile Runnable listener = () -> {};

    Completion(CompletionRequest request, GenerationTrace trace) {
        this.request = request;
        this.trace = trace;
        choices = new ChoiceText[request.sequences()];
        parts = new ChoiceParts[request.sequences()];
        for (int choice = 0; choice < choices.length; choice++) {
            choices[choice] = new ChoiceText(
                    request.model().tokenizer(),
                    request.stops(),
                    request.topLogprobs().isPresent(),
                    request.minTokens(),
                    request.reading().shownTokens());
            parts[choice] = new ChoiceParts(choice, request.reading().parser(), ready);
        }
    }

    void add(SequenceStream sequence) {
        sequences.add(sequence);
    }

    void arrived(SequenceEvent event) {
        inbox.add(event);
        listener.run();
    }

    /// @param called by any thread whenever something has come for [#poll]; must not block. What
    ///     has come before is not told
    public void whenSomethingComes(Runnable called) {
        listener = called;
    }

    public CompletionRequest request() {
        return request;
    }

    /// @param patience how long to wait
    /// @return the next event, [CompletionEvent.Done] the last; empty if none came in time
    /// @throws PenstockException if the request has failed
    /// @throws CancellationException after [#cancel]
    public Optional<CompletionEvent> next(Duration patience) throws InterruptedException {
        long deadline = System.nanoTime() + patience.toNanos();
        Optional<CompletionEvent> next = poll();
        while (next.isEmpty()) {
            SequenceEvent event = inbox.poll(deadline - System.nanoTime(), TimeUnit.NANOSECONDS);
            if (event == null) {
                return Optional.empty();
            }
            see(event);
            next = poll();
        }
        return next;
    }

    /// As [#next], of what has come already.
    public Optional<CompletionEvent> poll() {
        while (ready.isEmpty()) {
            SequenceEvent event = inbox.poll();
            if (event == null) {
                return Optional.empty();
            }
            see(event);
        }
        return Optional.of(ready.poll());
    }

    private void see(SequenceEvent event) {
        if (cancelled) {
            trace.cancelled();
            throw new CancellationException("cancelled by the client");
        }
        try {
            take(event);
        } catch (PenstockException e) {
            trace.failed(e.category());
            throw e;
        }
    }

    /// Nobody wants the rest. May be called by any thread, more than once and after the end.
    public void cancel() {
        cancelled = true;
        for (SequenceStream sequence : sequences) {
            sequence.cancel();
        }
        arrived(CANCELLED);
    }

    /// Ends what is still under way.
    @Override
    public void close() {
        for (SequenceStream sequence : sequences) {
            sequence.cancel();
        }
        trace.close();
    }

    private void take(SequenceEvent event) {
        switch (event) {
            case SequenceEvent.Generated generated -> generated(generated);
            case SequenceEvent.Ended ended -> ended(ended.sequence(), ended.finished());
            case SequenceEvent.Failed failed -> throw failed.failure();
        }
    }

    private void generated(SequenceEvent.Generated event) {
        int choice = event.sequence();
        ChoiceText text = choices[choice];
        if (!text.stopped()) {
            trace.tokens(choice, event.tokens().size(), event.nanos());
            String shown = "";
            for (int i = 0; i < event.tokens().size() && !text.stopped(); i++) {
                Token token = event.tokens().get(i);
                String more = text.append(token);
                shown = shown.isEmpty() ? more : shown.concat(more);
            }
            show(choice, shown, text.stopped());
            if (text.stopped()) {
                sequences.get(choice).cancel();
                end(choice, FinishReason.STOP);
            }
        }
        sequences.get(choice).consumed();
    }

    private void ended(int choice, Finished finished) {
        ChoiceText text = choices[choice];
        if (text.stopped()) {
            return;
        }
        show(choice, text.finish(), true);
        cachedTokens += finished.getCachedPromptTokens();
        FinishReason reason = switch (finished.getReason()) {
            case FINISH_REASON_STOP -> FinishReason.STOP;
            case FINISH_REASON_LENGTH -> FinishReason.LENGTH;
            case FINISH_REASON_UNSPECIFIED, UNRECOGNIZED ->
                throw new PenstockException(ErrorCategory.INTERNAL, "it ended for reason %s", finished.getReason());
        };
        end(choice, text.stopped() ? FinishReason.STOP : reason);
    }

    private void show(int choice, String text, boolean last) {
        parts[choice].add(text, choices[choice].takeTokens(), last);
    }

    private void end(int choice, FinishReason how) {
        FinishReason reason = how == FinishReason.STOP && parts[choice].called() ? FinishReason.TOOL_CALLS : how;
        completionTokens += choices[choice].tokens();
        reasons.add(reason.text());
        ready.add(new CompletionEvent.Ended(choice, reason));
        if (reasons.size() == choices.length) {
            int promptTokens = request.promptTokens();
            Usage usage = new Usage(promptTokens, completionTokens, Math.min(cachedTokens, promptTokens));
            trace.finished(usage.completion(), usage.cached(), reasons);
            ready.add(new CompletionEvent.Done(usage));
        }
    }
}
