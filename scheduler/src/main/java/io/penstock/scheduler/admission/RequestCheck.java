package io.penstock.scheduler.admission;

import com.google.errorprone.annotations.FormatMethod;
import com.google.errorprone.annotations.FormatString;
import io.penstock.api.SamplingMessages;
import io.penstock.api.inference.GenerateRequest;
import io.penstock.api.inference.Sampling;
import io.penstock.model.ErrorCategory;
import io.penstock.model.PenstockException;
import io.penstock.model.sampling.SamplingParameters;
import io.penstock.scheduler.batch.SequenceRequest;
import io.penstock.scheduler.group.GroupIdentity;
import java.util.Arrays;
import java.util.HashMap;
import java.util.List;
import java.util.Map;

/// Every bound of a request, checked before anything is kept of it. A gateway has checked them before;
/// other clients have not.
///
/// Whether there is KV memory for the sequence is checked later, by its group.
public final class RequestCheck {
    private static final int MAX_NAME = 256;
    private static final int MAX_STOP_TOKENS = 1_024;
    private static final int MAX_TRACE = 1_024;
    private static final List<String> TRACE_KEYS = List.of("traceparent", "tracestate");
    private static final Sampling GREEDY =
            Sampling.newBuilder().setTopP(1).setRepetitionPenalty(1).build();

    private RequestCheck() {}

    /// @param now on the scheduler's clock
    /// @param callNanosLeft until the call's own deadline; [Long#MAX_VALUE] for none
    /// @param trace context of the request's span; empty where it is not traced
    /// @throws PenstockException (bad input) naming the field, its value and the limit
    public static SequenceRequest check(
            GenerateRequest request, GroupIdentity served, long now, long callNanosLeft, Map<String, String> trace) {
        int context = served.shape().getContextLength();
        int vocabulary = served.shape().getVocabularySize();
        int prompt = request.getPromptTokensCount();
        int resumed = request.getResumeTokensCount();

        within("request_id's length", request.getRequestId().length(), 1, MAX_NAME);
        within("tenant's length", request.getTenant().length(), 0, MAX_NAME);
        if (prompt < 1) {
            throw bad("prompt_tokens is empty");
        }
        if (prompt >= context) {
            throw bad(
                    "prompt_tokens has %d tokens, the context of %d leaves room for none to generate", prompt, context);
        }
        within("max_tokens", request.getMaxTokens(), 0, Integer.MAX_VALUE);
        if (request.getMaxTokens() > context - prompt) {
            throw bad(
                    "prompt_tokens has %d tokens and max_tokens is %d, the context holds %d",
                    prompt, request.getMaxTokens(), context);
        }
        int most = request.getMaxTokens() > 0 ? request.getMaxTokens() : context - prompt;
        within("resume_tokens' length", resumed, 0, most);
        within("min_tokens", request.getMinTokens(), 0, most);
        within("stop_token_ids' length", request.getStopTokenIdsCount(), 0, MAX_STOP_TOKENS);
        if (request.hasTopLogprobs()) {
            within(
                    "top_logprobs",
                    request.getTopLogprobs(),
                    0,
                    Math.min(SamplingParameters.MAX_TOP_LOGPROBS, vocabulary));
        }
        if (request.getDeadlineMillis() < 0) {
            throw bad("deadline_millis is %d, must be 0 (none) or more", request.getDeadlineMillis());
        }

        int[] tokens = new int[prompt + resumed];
        for (int i = 0; i < prompt; i++) {
            tokens[i] = token("prompt_tokens", i, request.getPromptTokens(i), vocabulary);
        }
        for (int i = 0; i < resumed; i++) {
            tokens[prompt + i] = token("resume_tokens", i, request.getResumeTokens(i), vocabulary);
        }
        int[] stops = new int[request.getStopTokenIdsCount()];
        for (int i = 0; i < stops.length; i++) {
            stops[i] = token("stop_token_ids", i, request.getStopTokenIds(i), vocabulary);
        }
        Arrays.sort(stops);
        return new SequenceRequest(
                request.getRequestId(),
                request.getModel(),
                tokens,
                prompt,
                sampling(request, vocabulary),
                stops,
                request.getMaxTokens(),
                request.getMinTokens(),
                request.hasTopLogprobs() ? request.getTopLogprobs() : -1,
                request.getPriority(),
                deadline(now, callNanosLeft, request.getDeadlineMillis()),
                trace);
    }

    /// Only what W3C names, and only short: the rest is not passed on.
    public static Map<String, String> trace(GenerateRequest request) {
        Map<String, String> trace = new HashMap<>();
        for (String key : TRACE_KEYS) {
            String value = request.getTraceContextOrDefault(key, "");
            if (!value.isEmpty() && value.length() <= MAX_TRACE) {
                trace.put(key, value);
            }
        }
        return trace;
    }

    private static long deadline(long now, long callNanosLeft, long millis) {
        long left = millis > 0 && millis < callNanosLeft / 1_000_000 ? millis * 1_000_000 : callNanosLeft;
        return left >= SequenceRequest.NO_DEADLINE - now ? SequenceRequest.NO_DEADLINE : now + left;
    }

    private static Sampling sampling(GenerateRequest request, int vocabulary) {
        if (!request.hasSampling()) {
            return GREEDY;
        }
        Sampling sampling = request.getSampling();
        SamplingMessages.parameters(sampling, vocabulary);
        return sampling;
    }

    private static int token(String field, int index, int id, int vocabulary) {
        if (id < 0 || id >= vocabulary) {
            throw bad("%s[%d] is token %d, the vocabulary has %d", field, index, id, vocabulary);
        }
        return id;
    }

    private static void within(String field, int value, int least, int most) {
        if (value < least || value > most) {
            throw bad("%s is %d, must lie in [%d, %d]", field, value, least, most);
        }
    }

    @FormatMethod
    private static PenstockException bad(@FormatString String format, Object... arguments) {
        return new PenstockException(ErrorCategory.BAD_INPUT, format, arguments);
    }
}
