package io.penstock.shard.backend.cpu;

import static org.assertj.core.api.Assertions.assertThat;

import io.penstock.model.tensor.RankSlice;
import io.penstock.shard.collective.LocalCollective;
import java.io.IOException;
import java.util.ArrayList;
import java.util.List;
import java.util.concurrent.ExecutionException;
import java.util.concurrent.ExecutorService;
import java.util.concurrent.Executors;
import java.util.concurrent.Future;
import org.junit.jupiter.params.ParameterizedTest;
import org.junit.jupiter.params.provider.CsvSource;
import org.junit.jupiter.params.provider.EnumSource;
import org.junit.jupiter.params.provider.ValueSource;

/// Each architecture that is served, through the backend that serves it, against transformers: prompts of 1, 7, 64 and
/// 300 tokens, then 32 greedy ones.
class TestArchitectures {
    @ParameterizedTest
    @ValueSource(
            strings = {
                "llama",
                "llama3-rope",
                "mistral-linear",
                "phi3",
                "qwen2-yarn",
                "qwen2-dynamic",
                "qwen3",
                "qwen3-moe",
                "deepseek-v2",
                "deepseek-v3",
                "deepseek-v3-fp8",
                "qwen3-gptq"
            })
    void computesWhatTransformersDoes(String name) throws IOException {
        TinyReference model = TinyReference.read(name);
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
        TinyReference model = TinyReference.read("deepseek-v3");
        RankSlice whole = RankSlice.of(model.checkpoint().config(), 0, 1, 0, 1);
        try (CpuBackend backend = new CpuBackend(new CpuOptions(2, 1L << 26), KernelChoice.ofMachine(), form)) {
            backend.load(model.checkpoint(), whole, model.files(), bytes -> {});
            backend.configure(TinyReference.LIMITS, new LocalCollective());
            model.check(TinyReference.driver(backend), true, form.name());
        }
    }

    /// Tensor parallel ranks part heads, columns and experts, evenly or not; stages part layers.
    @ParameterizedTest
    @CsvSource({
        "llama, 2, 1",
        "llama3-rope, 3, 3",
        "mistral-linear, 2, 3",
        "qwen2-yarn, 2, 2",
        "qwen2-dynamic, 2, 1",
        "qwen3, 1, 3",
        "qwen3, 2, 1",
        "qwen3, 3, 2",
        "qwen3-moe, 2, 1",
        "qwen3-moe, 2, 2",
        "qwen3-moe, 3, 3",
        "phi3, 3, 2",
        "deepseek-v2, 2, 2",
        "deepseek-v2, 3, 1",
        "deepseek-v2, 4, 3",
        "deepseek-v3, 2, 1",
        "deepseek-v3, 3, 2",
        "deepseek-v3, 4, 3",
        "deepseek-v3-fp8, 2, 3",
        "deepseek-v3-fp8, 4, 1",
        "qwen3-gptq, 2, 2",
        "qwen3-gptq, 3, 1",
    })
    void everySplitComputesTheSame(String name, int tp, int pp)
            throws IOException, InterruptedException, ExecutionException {
        TinyReference model = TinyReference.read(name);
        LocalGroup group = new LocalGroup(tp, pp);
        List<Future<?>> ranks = new ArrayList<>();
        try (ExecutorService threads = Executors.newFixedThreadPool(tp * pp)) {
            for (int rank = 0; rank < tp * pp; rank++) {
                int tpRank = rank % tp;
                int stage = rank / tp;
                ranks.add(threads.submit(() -> {
                    RankSlice slice = RankSlice.of(model.checkpoint().config(), tpRank, tp, stage, pp);
                    try (CpuBackend backend = new CpuBackend(new CpuOptions(1, 1L << 26))) {
                        backend.load(model.checkpoint(), slice, model.files(), bytes -> {});
                        backend.configure(TinyReference.LIMITS, group.rank(tpRank, stage));
                        String how = "rank %d of %d, stage %d of %d".formatted(tpRank, tp, stage, pp);
                        model.check(TinyReference.driver(backend), tpRank == 0 && stage == pp - 1, how);
                    }
                }));
            }
            for (Future<?> rank : ranks) {
                assertThat(rank.get()).isNull();
            }
        }
    }
}
