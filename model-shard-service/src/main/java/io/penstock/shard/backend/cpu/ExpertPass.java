package io.penstock.shard.backend.cpu;

import io.penstock.model.config.Experts;
import io.penstock.model.config.ModelConfig;
import io.penstock.model.tensor.RankSlice;
import java.util.Arrays;

/// What stands in the MLP's place: every rank routes every token and computes the experts it holds, one after the
/// other over all tokens that use it; the sum over the ranks is the layer's.
///
/// A token's experts are added in ascending order, then what is shared, whatever else the step computes.
final class ExpertPass {
    private final Experts experts;
    private final RankSlice slice;
    private final Dimensions sizes;
    private final Kernels kernels;
    private final Workers workers;
    private final StepMemory memory;
    private final MatrixPhase matrices;
    private final ExpertRouting[] routing;

    private final Workers.Phase route = this::route;
    private final Workers.Phase activate = this::activate;

    private int tokens;
    private ExpertWeights weights;
    /// Of the MLP in progress.
    private int rows;

    private int stride;

    ExpertPass(
            ModelConfig config,
            RankSlice slice,
            Dimensions sizes,
            Kernels kernels,
            Workers workers,
            StepMemory memory,
            MatrixPhase matrices) {
        this.experts = config.experts().orElseThrow();
        this.slice = slice;
        this.sizes = sizes;
        this.kernels = kernels;
        this.workers = workers;
        this.memory = memory;
        this.matrices = matrices;
        routing = new ExpertRouting[workers.count()];
        Arrays.setAll(routing, worker -> new ExpertRouting(experts));
    }

    /// Of the normed hidden states in memory makes this rank's part of `memory.delta`.
    void run(int stepTokens, ExpertWeights layerWeights) {
        tokens = stepTokens;
        weights = layerWeights;
        workers.run(
                matrices.begin(memory.normed, sizes.hiddenStride(), tokens).add(weights.router(), memory.routerLogits));
        workers.run(route);
        Arrays.fill(memory.delta, 0, tokens * sizes.hiddenStride(), 0);
        for (int expert = slice.experts().from(); expert < slice.experts().to(); expert++) {
            expert(expert, weights.experts().get(expert - slice.experts().from()));
        }
        if (weights.shared() != null) {
            compute(weights.shared(), memory.normed, tokens);
            for (int token = 0; token < tokens; token++) {
                add(token, token, 1);
            }
        }
    }

    private void route(int worker, int count) {
        int stride = weights.router().paddedRows();
        int end = ForwardPass.share(tokens, worker + 1, count);
        for (int token = ForwardPass.share(tokens, worker, count); token < end; token++) {
            routing[worker].route(
                    memory.routerLogits,
                    token * stride,
                    weights.routerBias(),
                    memory.chosenExpert,
                    memory.expertWeight,
                    token * experts.used());
        }
    }

    private void expert(int expert, ExpertWeights.Mlp mlp) {
        int users = 0;
        for (int item = 0; item < tokens * experts.used(); item++) {
            if (memory.chosenExpert[item] == expert) {
                memory.expertItem[users] = item;
                int from = item / experts.used() * sizes.hiddenStride();
                int to = users * sizes.hiddenStride();
                System.arraycopy(memory.normed, from, memory.expertInput, to, sizes.hiddenStride());
                users++;
            }
        }
        if (users == 0) {
            return;
        }
        compute(mlp, memory.expertInput, users);
        for (int user = 0; user < users; user++) {
            int item = memory.expertItem[user];
            add(user, item / experts.used(), memory.expertWeight[item]);
        }
    }

    private void compute(ExpertWeights.Mlp mlp, float[] input, int count) {
        rows = count;
        stride = mlp.gate().paddedRows();
        workers.run(matrices.begin(input, sizes.hiddenStride(), count)
                .add(mlp.gate(), memory.gate)
                .add(mlp.up(), memory.up));
        workers.run(activate);
        workers.run(matrices.begin(memory.gate, stride, count).add(mlp.down(), memory.expertOutput));
    }

    private void activate(int worker, int count) {
        int from = ForwardPass.share(rows, worker, count) * stride;
        int to = ForwardPass.share(rows, worker + 1, count) * stride;
        kernels.swiglu(memory.gate, from, memory.up, from, to - from);
    }

    private void add(int from, int token, float weight) {
        int source = from * sizes.hiddenStride();
        int target = token * sizes.hiddenStride();
        for (int i = 0; i < sizes.hidden(); i++) {
            memory.delta[target + i] = Math.fma(weight, memory.expertOutput[source + i], memory.delta[target + i]);
        }
    }
}
