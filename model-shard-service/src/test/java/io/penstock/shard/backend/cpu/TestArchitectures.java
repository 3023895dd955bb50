package io.penstock.shard.backend.cpu;

import static org.assertj.core.api.Assertions.assertThat;
import static org.junit.jupiter.params.provider.Arguments.arguments;

import io.penstock.model.tensor.RankSlice;
import io.penstock.shard.collective.LocalCollective;
import java.io.IOException;
import java.nio.file.Path;
import java.util.List;
import java.util.concurrent.CompletionService;
import java.util.concurrent.ExecutionException;
import java.util.concurrent.ExecutorCompletionService;
import java.util.concurrent.ExecutorService;
import java.util.concurrent.Executors;
import java.util.stream.Stream;
import org.junit.jupiter.api.io.TempDir;
import org.junit.jupiter.params.ParameterizedTest;
import org.junit.jupiter.params.provider.Arguments;
import org.junit.jupiter.params.provider.EnumSource;
import org.junit.jupiter.params.provider.MethodSource;

/// Each architecture that is served, through the backend that serves it, against transformers: prompts of 1, 7, 64 and
/// 300 tokens, then 32 greedy ones.
class TestArchitectures {
    private static final List<String> MODELS = List.of(
            "llama",
            "llama3-rope",
            "mistral-linear",
            "phi3",
            "phi3-longrope",
            "phi3-longrope-long",
            "qwen2-yarn",
            "qwen2-dynamic",
            "qwen2-dynamic-long",
            "qwen3",
            "qwen3-moe",
            "deepseek-v2",
            "deepseek-v3",
            "deepseek-v3-fp8",
            "qwen3-gptq");
    private static final List<String> GGUF_FILES = List.of("qwen3-moe", "deepseek-v2", "deepseek-v3");

    @TempDir
    private Path temporary;

    static List<String> models() {
        return MODELS;
    }

    static List<String> ggufFiles() {
        return GGUF_FILES;
    }

    @ParameterizedTest
    @MethodSource("models")
    void computesWhatTransformersDoes(String name) throws IOException {
        assertWhole(TinyReference.read(name, temporary));
    }

    /// Experts are stacked there, and what compressed keys are made of has another form.
    @ParameterizedTest
    @MethodSource("ggufFiles")
    void computesTheSameFromGguf(String name) throws IOException {
        assertWhole(TinyReference.gguf(name));
    }

    private static void assertWhole(TinyReference model) throws IOException {
        RankSlice whole = RankSlice.of(model.checkpoint().config(), 0, 1, 0, 1);
        try (CpuBackend backend = new CpuBackend(new CpuOptions(2, 1L << 26))) {
            backend.load(model.checkpoint(), whole, model.files(), bytes -> {});
            backend.configure(TinyReference.LIMITS, new LocalCollective());
            model.check(TinyReference.driver(backend), true, "whole");
        }
    }

    /// The definition of compressed attention, and the form that is served.
    @ParameterizedTest
    @EnumSource
    void bothFormsOfCompressedAttentionAreTheSame(LatentAttentionPass.Form form) throws IOException {
        TinyReference model = TinyReference.read("deepseek-v3", temporary);
        RankSlice whole = RankSlice.of(model.checkpoint().config(), 0, 1, 0, 1);
        try (CpuBackend backend = new CpuBackend(new CpuOptions(2, 1L << 26), KernelChoice.ofMachine(), form)) {
            backend.load(model.checkpoint(), whole, model.files(), bytes -> {});
            backend.configure(TinyReference.LIMITS, new LocalCollective());
            model.check(TinyReference.driver(backend), true, form.name());
        }
    }

    /// Each model over 2, 3 and 4 ranks, 2 and 3 stages, and both. Of three key/value heads (four where
    /// they are compressed), five blocks of MLP columns, eight or sixteen experts and three layers,
    /// little divides evenly; over four ranks two have the same key/value head.
    static Stream<Arguments> splits() {
        int[][] shapes = {{2, 1}, {3, 1}, {4, 1}, {1, 2}, {1, 3}, {2, 2}, {4, 3}};
        return MODELS.stream().flatMap(name -> Stream.of(shapes).map(shape -> arguments(name, shape[0], shape[1])));
    }

    @ParameterizedTest
    @MethodSource("splits")
    void everySplitComputesTheSame(String name, int tp, int pp)
            throws IOException, InterruptedException, ExecutionException {
        assertSplit(TinyReference.read(name, temporary), tp, pp);
    }

    @ParameterizedTest
    @MethodSource("ggufFiles")
    void everySplitOfGgufComputesTheSame(String name) throws IOException, InterruptedException, ExecutionException {
        assertSplit(TinyReference.gguf(name), 4, 2);
    }

    private static void assertSplit(TinyReference model, int tp, int pp)
            throws InterruptedException, ExecutionException {
        LocalGroup group = new LocalGroup(tp, pp);
        try (ExecutorService threads = Executors.newFixedThreadPool(tp * pp)) {
            CompletionService<Void> ranks = new ExecutorCompletionService<>(threads);
            for (int rank = 0; rank < tp * pp; rank++) {
                int tpRank = rank % tp;
                int stage = rank / tp;
                ranks.submit(() -> {
                    RankSlice slice = RankSlice.of(model.checkpoint().config(), tpRank, tp, stage, pp);
                    try (CpuBackend backend = new CpuBackend(new CpuOptions(1, 1L << 26))) {
                        backend.load(model.checkpoint(), slice, model.files(), bytes -> {});
                        backend.configure(TinyReference.LIMITS, group.rank(tpRank, stage));
                        String how = "rank %d of %d, stage %d of %d".formatted(tpRank, tp, stage, pp);
                        model.check(TinyReference.driver(backend), tpRank == 0 && stage == pp - 1, how);
                    }
                    return null;
                });
            }
            for (int rank = 0; rank < tp * pp; rank++) {
                try {
                    assertThat(ranks.take().get()).isNull();
                } catch (ExecutionException failed) {
                    // The first to fail says why; the others would wait for it.
                    threads.shutdownNow();
                    throw failed;
                }
            }
        }
    }
}
