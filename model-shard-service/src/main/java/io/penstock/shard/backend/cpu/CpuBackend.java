package io.penstock.shard.backend.cpu;

import io.penstock.model.ErrorCategory;
import io.penstock.model.PenstockException;
import io.penstock.model.checkpoint.Checkpoint;
import io.penstock.model.config.ModelConfig;
import io.penstock.model.tensor.RankSlice;
import io.penstock.shard.backend.Backend;
import io.penstock.shard.backend.StepLimits;
import io.penstock.shard.backend.StepOutput;
import io.penstock.shard.backend.StepPlan;
import io.penstock.shard.collective.Collective;
import java.lang.foreign.Arena;
import java.nio.file.Path;
import java.util.Map;
import java.util.function.LongConsumer;
import org.jboss.logging.Logger;

/// The rank's device is this machine's processor. A submitted step is computed when it is awaited, so
/// that its result is out before the next one begins.
public final class CpuBackend implements Backend {
    private static final Logger LOG = Logger.getLogger(CpuBackend.class);
    private static final int MOST_IN_FLIGHT = 2;

    private final CpuOptions options;
    private final Kernels kernels;
    private final Workers workers;
    private final Arena weightArena = Arena.ofShared();
    private final LatentAttentionPass.Form latentForm;

    private ModelConfig config;
    private RankSlice slice;
    private RankWeights weights;
    private boolean rehearsed;
    private Epoch epoch;

    private final StepPlan[] submitted = new StepPlan[MOST_IN_FLIGHT];
    private int inFlight;

    public CpuBackend(CpuOptions options) {
        this(options, KernelChoice.ofMachine());
    }

    public CpuBackend(CpuOptions options, KernelChoice choice) {
        this(options, choice, LatentAttentionPass.Form.ABSORBED);
    }

    CpuBackend(CpuOptions options, KernelChoice choice, LatentAttentionPass.Form latentForm) {
        this.latentForm = latentForm;
        this.options = options;
        kernels = choice.kernels();
        workers = new Workers(options.threads());
        LOG.infof("kernels: %s; %d threads", choice.reason(), options.threads());
    }

    @Override
    public String device() {
        return "cpu %s, %d %s"
                .formatted(kernels.description(), options.threads(), options.threads() == 1 ? "thread" : "threads");
    }

    @Override
    public void load(Checkpoint checkpoint, RankSlice rankSlice, Map<String, Path> files, LongConsumer loaded) {
        weights = WeightLoading.load(checkpoint, rankSlice, files, weightArena, workers, loaded);
        config = checkpoint.config();
        slice = rankSlice;
    }

    @Override
    public int configure(StepLimits limits, Collective collective) {
        if (weights == null) {
            throw new IllegalStateException("configured before weights were loaded");
        }
        if (epoch != null) {
            epoch.close();
            epoch = null;
        }
        inFlight = 0;
        Dimensions sizes = Dimensions.of(config, slice);
        if (!rehearsed) {
            long begun = System.nanoTime();
            Rehearsal.run(collective, deaf -> epoch(sizes, Rehearsal.LIMITS, deaf, Rehearsal.BLOCKS));
            rehearsed = true;
            LOG.infof("kernels compiled in %.1f s", (System.nanoTime() - begun) / 1e9);
        }
        epoch = epoch(sizes, limits, collective, blocks(sizes, limits));
        return epoch.blocks();
    }

    @SuppressWarnings("MustBeClosedChecker") // The epoch closes it.
    private Epoch epoch(Dimensions sizes, StepLimits limits, Collective collective, int blocks) {
        Arena arena = Arena.ofShared();
        try {
            return new Epoch(
                    config, slice, sizes, weights, kernels, workers, limits, collective, blocks, latentForm, arena);
        } catch (RuntimeException | Error e) {
            // A rank that cannot be configured stays, and is configured again.
            arena.close();
            throw e;
        }
    }

    private int blocks(Dimensions sizes, StepLimits limits) {
        long each = config.latent().isPresent()
                ? LatentCache.bytesPerBlock(sizes.layers(), config.cachedSize(), limits.blockSize())
                : KvCache.bytesPerBlock(sizes.layers(), sizes.kvHeads(), sizes.headSize(), limits.blockSize());
        long fit = options.kvBytes() / each;
        if (fit < 1) {
            throw new PenstockException(
                    ErrorCategory.BAD_INPUT,
                    "%d bytes of KV memory do not hold one block of %d tokens, which takes %d",
                    options.kvBytes(),
                    limits.blockSize(),
                    each);
        }
        long useful = (long) limits.maxSequences() * Math.ceilDiv(limits.maxLength(), limits.blockSize());
        return (int) Math.min(Math.min(fit, useful), Integer.MAX_VALUE);
    }

    @Override
    public void submit(StepPlan plan) {
        if (inFlight == MOST_IN_FLIGHT) {
            throw new IllegalStateException("%d steps are in flight already".formatted(MOST_IN_FLIGHT));
        }
        submitted[inFlight++] = plan;
    }

    @Override
    public StepOutput await() {
        if (inFlight == 0) {
            throw new IllegalStateException("no step is in flight");
        }
        StepPlan plan = submitted[0];
        submitted[0] = submitted[1];
        submitted[1] = null;
        inFlight--;
        return epoch.compute(plan);
    }

    @Override
    public void close() {
        if (epoch != null) {
            epoch.close();
            epoch = null;
        }
        workers.close();
        weightArena.close();
    }
}
