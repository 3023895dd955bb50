package io.penstock.scheduler.admission;

import static org.assertj.core.api.Assertions.assertThat;
import static org.assertj.core.api.Assertions.assertThatThrownBy;

import io.penstock.api.inference.GenerateRequest;
import io.penstock.api.inference.LogitBias;
import io.penstock.api.inference.Sampling;
import io.penstock.api.shard.ModelShape;
import io.penstock.model.ErrorCategory;
import io.penstock.model.PenstockException;
import io.penstock.scheduler.batch.SequenceRequest;
import io.penstock.scheduler.group.GroupIdentity;
import java.util.Collections;
import java.util.List;
import java.util.Map;
import java.util.function.Consumer;
import org.junit.jupiter.api.Test;

/// What gets past this reaches a device, where a bad id costs every user of the group its context.
final class TestRequestCheck {
    private static final GroupIdentity SERVED = new GroupIdentity(
            "g",
            "m",
            "r",
            1,
            1,
            ModelShape.newBuilder()
                    .setLayers(1)
                    .setContextLength(100)
                    .setVocabularySize(1_000)
                    .build());

    private static GenerateRequest.Builder sound() {
        return GenerateRequest.newBuilder()
                .setRequestId("id")
                .setModel("m")
                .addAllPromptTokens(List.of(0, 999, 5))
                .addAllResumeTokens(List.of(7, 8))
                .setSampling(sampling())
                .addAllStopTokenIds(List.of(9, 2))
                .setMaxTokens(97)
                .setMinTokens(97)
                .setTopLogprobs(20)
                .putTraceContext("traceparent", "00-4bf92f3577b34da6a3ce929d0e0e4736-00f067aa0ba902b7-01");
    }

    private static Sampling.Builder sampling() {
        return Sampling.newBuilder()
                .setTemperature(2)
                .setTopP(1)
                .setRepetitionPenalty(2)
                .setFrequencyPenalty(-2)
                .addLogitBias(LogitBias.newBuilder().setTokenId(999).setBias(-100));
    }

    private static SequenceRequest check(GenerateRequest.Builder request) {
        return RequestCheck.check(request.build(), SERVED, 1_000, Long.MAX_VALUE, Map.of());
    }

    @Test
    void takesWhatLiesOnTheBounds() {
        SequenceRequest checked = check(sound());
        assertThat(checked.tokens()).containsExactly(0, 999, 5, 7, 8);
        assertThat(checked.promptLength()).isEqualTo(3);
        assertThat(checked.resumed()).isEqualTo(2);
        assertThat(checked.stopTokens()).containsExactly(2, 9);
        assertThat(checked.topLogprobs()).isEqualTo(20);
        assertThat(checked.deadline()).isEqualTo(SequenceRequest.NO_DEADLINE);
        assertThat(check(sound().clearTopLogprobs()).topLogprobs()).isEqualTo(-1);
        assertThat(check(sound().setTopLogprobs(0)).topLogprobs()).isZero();
    }

    @Test
    void samplingLeftOutIsGreedy() {
        Sampling sampling = check(sound().clearSampling()).sampling();
        assertThat(sampling.getTemperature()).isZero();
        assertThat(sampling.getTopP()).isEqualTo(1);
        assertThat(sampling.getRepetitionPenalty()).isEqualTo(1);
    }

    @Test
    void theNearerDeadlineCounts() {
        GenerateRequest request = sound().setDeadlineMillis(2).build();
        assertThat(RequestCheck.check(request, SERVED, 1_000, 5_000_000, Map.of())
                        .deadline())
                .isEqualTo(2_001_000);
        assertThat(RequestCheck.check(request, SERVED, 1_000, 1_500_000, Map.of())
                        .deadline())
                .isEqualTo(1_501_000);
        assertThat(check(sound().setDeadlineMillis(Long.MAX_VALUE)).deadline()).isEqualTo(SequenceRequest.NO_DEADLINE);
    }

    @Test
    void keepsOnlyTraceContext() {
        GenerateRequest request = sound().putTraceContext("authorization", "secret")
                .putTraceContext("tracestate", "x".repeat(2_000))
                .build();
        assertThat(RequestCheck.trace(request)).containsOnlyKeys("traceparent");
    }

    @Test
    void refusesWhatLiesBeyond() {
        refused(r -> r.setRequestId(""), "request_id's length is 0");
        refused(r -> r.setRequestId("x".repeat(257)), "request_id's length is 257");
        refused(r -> r.clearPromptTokens(), "prompt_tokens is empty");
        refused(r -> r.setPromptTokens(2, 1_000), "prompt_tokens[2] is token 1000, the vocabulary has 1000");
        refused(r -> r.setPromptTokens(2, -1), "prompt_tokens[2] is token -1");
        refused(
                r -> r.setMaxTokens(1)
                        .setMinTokens(0)
                        .clearResumeTokens()
                        .addAllPromptTokens(Collections.nCopies(97, 1)),
                "prompt_tokens has 100 tokens");
        refused(r -> r.setMaxTokens(98), "max_tokens is 98, the context holds 100");
        refused(r -> r.setMaxTokens(-1), "max_tokens is -1");
        refused(r -> r.setMaxTokens(Integer.MAX_VALUE), "the context holds 100");
        refused(r -> r.addResumeTokens(1_000), "resume_tokens[2] is token 1000");
        refused(r -> r.setMaxTokens(1).setMinTokens(0), "resume_tokens' length is 2, must lie in [0, 1]");
        refused(r -> r.setMinTokens(98), "min_tokens is 98");
        refused(r -> r.setMinTokens(-1), "min_tokens is -1");
        refused(r -> r.addStopTokenIds(-5), "stop_token_ids[2] is token -5");
        refused(r -> r.addAllStopTokenIds(Collections.nCopies(1_023, 1)), "stop_token_ids' length is 1025");
        refused(r -> r.setTopLogprobs(21), "top_logprobs is 21");
        refused(r -> r.setTopLogprobs(-1), "top_logprobs is -1");
        refused(r -> r.setDeadlineMillis(-1), "deadline_millis is -1");
        refused(r -> r.setSampling(sampling().setTemperature(Float.NaN)), "temperature is NaN");
        refused(r -> r.setSampling(sampling().setTopP(0)), "top_p is 0");
        refused(r -> r.setSampling(sampling().setTopK(-1)), "top_k is -1");
        refused(r -> r.setSampling(sampling().setRepetitionPenalty(0)), "repetition_penalty is 0");
        refused(r -> r.setSampling(sampling().addLogitBias(bias(1_000, 1))), "logit_bias names token 1000");
        refused(r -> r.setSampling(sampling().addLogitBias(bias(999, 1))), "logit_bias names token 999 twice");
        refused(r -> r.setSampling(sampling().addLogitBias(bias(1, 101))), "logit_bias of token 1 is 101");
        refused(
                r -> r.setSampling(sampling()
                        .addAllLogitBias(Collections.nCopies(1_024, bias(1, 1).build()))),
                "logit_bias' length is 1025");
    }

    private static LogitBias.Builder bias(int token, float bias) {
        return LogitBias.newBuilder().setTokenId(token).setBias(bias);
    }

    private static void refused(Consumer<GenerateRequest.Builder> change, String message) {
        GenerateRequest.Builder request = sound();
        change.accept(request);
        assertThatThrownBy(() -> check(request))
                .isInstanceOfSatisfying(
                        PenstockException.class,
                        failure -> assertThat(failure.category()).isEqualTo(ErrorCategory.BAD_INPUT))
                .hasMessageContaining(message);
    }
}
