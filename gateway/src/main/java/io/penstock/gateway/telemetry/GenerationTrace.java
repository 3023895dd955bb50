package io.penstock.gateway.telemetry;

import io.opentelemetry.api.common.AttributeKey;
import io.opentelemetry.api.trace.Span;
import io.opentelemetry.api.trace.StatusCode;
import io.penstock.model.ErrorCategory;
import java.util.List;
import java.util.Locale;
import java.util.Map;
import java.util.concurrent.TimeUnit;

/// What is measured of one request. Used by the one thread that takes its events.
public final class GenerationTrace {
    private static final AttributeKey<List<String>> FINISH_REASONS =
            AttributeKey.stringArrayKey("gen_ai.response.finish_reasons");
    private static final String ABORT = "abort";

    private final Generation request;
    private final long arrival;
    private final Span span;
    private final Map<String, String> context;
    private final GenerationMeters meters;
    /// By choice; arrival of the first and the latest token, 0 before.
    private final long[] first;

    private final long[] latest;
    private final int[] tokens;
    private boolean anyToken;
    private boolean over;

    GenerationTrace(Generation request, long arrival, Span span, Map<String, String> context, GenerationMeters meters) {
        this.request = request;
        this.arrival = arrival;
        this.span = span;
        this.context = Map.copyOf(context);
        this.meters = meters;
        first = new long[request.sequences()];
        latest = new long[request.sequences()];
        tokens = new int[request.sequences()];
        RequestReceivedEvent event = new RequestReceivedEvent();
        if (event.shouldCommit()) {
            event.request = request.id();
            event.model = request.model();
            event.promptTokens = request.promptTokens();
            event.sequences = request.sequences();
            event.commit();
        }
    }

    /// W3C trace context of the request's span, for the schedulers; empty if there is none.
    public Map<String, String> context() {
        return context;
    }

    /// @param nanos when they arrived, by [System#nanoTime()]
    public void tokens(int choice, int count, long nanos) {
        if (!anyToken) {
            anyToken = true;
            firstToken(nanos - arrival);
        }
        if (tokens[choice] == 0) {
            first[choice] = nanos;
        } else {
            meters.interToken.record(nanos - latest[choice], TimeUnit.NANOSECONDS);
        }
        latest[choice] = nanos;
        tokens[choice] += count;
    }

    private void firstToken(long sinceArrival) {
        meters.firstToken.record(sinceArrival, TimeUnit.NANOSECONDS);
        meters.vllmFirstToken.record(sinceArrival, TimeUnit.NANOSECONDS);
        span.setAttribute("gen_ai.response.time_to_first_chunk", sinceArrival / 1e9);
        FirstTokenEvent event = new FirstTokenEvent();
        if (event.shouldCommit()) {
            event.request = request.id();
            event.sinceArrival = sinceArrival;
            event.commit();
        }
    }

    /// @param completionTokens of all sequences
    /// @param reasons why each ended, as the APIs spell it
    public void finished(int completionTokens, int cachedTokens, List<String> reasons) {
        for (int choice = 0; choice < tokens.length; choice++) {
            if (tokens[choice] > 1) {
                meters.perOutputToken.record(
                        (latest[choice] - first[choice]) / (tokens[choice] - 1), TimeUnit.NANOSECONDS);
            }
        }
        meters.inputTokens.record(request.promptTokens());
        meters.outputTokens.record(completionTokens);
        meters.promptTokens.record(request.promptTokens());
        meters.generationTokens.record(completionTokens);
        for (String reason : reasons) {
            meters.finished(reason).increment();
        }
        span.setAttribute("gen_ai.usage.input_tokens", request.promptTokens());
        span.setAttribute("gen_ai.usage.output_tokens", completionTokens);
        span.setAttribute("gen_ai.usage.cache_read.input_tokens", cachedTokens);
        span.setAttribute(FINISH_REASONS, List.copyOf(reasons));
        end("", reasons.getLast());
    }

    public void failed(ErrorCategory category) {
        String error = category.name().toLowerCase(Locale.ROOT);
        span.setStatus(StatusCode.ERROR);
        span.setAttribute("error.type", error);
        end(error, error);
    }

    public void cancelled() {
        if (over) {
            return;
        }
        meters.finished(ABORT).increment();
        span.setAttribute("error.type", ABORT);
        end(ABORT, ABORT);
    }

    /// Whatever ended it has been said, or the reader left without a word.
    public void close() {
        cancelled();
    }

    private void end(String error, String outcome) {
        if (over) {
            return;
        }
        over = true;
        long sinceArrival = System.nanoTime() - arrival;
        meters.duration(error).record(sinceArrival, TimeUnit.NANOSECONDS);
        if (error.isEmpty()) {
            meters.endToEnd.record(sinceArrival, TimeUnit.NANOSECONDS);
        }
        span.end();
        RequestFinishedEvent event = new RequestFinishedEvent();
        if (event.shouldCommit()) {
            event.request = request.id();
            event.outcome = outcome;
            for (int count : tokens) {
                event.tokens += count;
            }
            event.sinceArrival = sinceArrival;
            event.commit();
        }
    }
}
