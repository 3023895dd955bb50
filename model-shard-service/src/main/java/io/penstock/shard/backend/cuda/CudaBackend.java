package io.penstock.shard.backend.cuda;

import io.penstock.model.ErrorCategory;
import io.penstock.model.PenstockException;
import io.penstock.model.checkpoint.Checkpoint;
import io.penstock.model.checkpoint.MappedTensors;
import io.penstock.model.config.ModelConfig;
import io.penstock.model.config.RopeScaling;
import io.penstock.model.tensor.RankSlice;
import io.penstock.model.tensor.TensorNames;
import io.penstock.shard.backend.Backend;
import io.penstock.shard.backend.StepLimits;
import io.penstock.shard.backend.StepOutput;
import io.penstock.shard.backend.StepPlan;
import io.penstock.shard.collective.Collective;
import io.penstock.shard.collective.PeerException;
import io.penstock.shard.layers.RopeFrequencies;
import java.nio.file.Path;
import java.util.ArrayList;
import java.util.HashMap;
import java.util.List;
import java.util.Map;
import java.util.Optional;
import java.util.Set;
import java.util.function.LongConsumer;
import java.util.stream.Collectors;
import java.util.stream.Stream;
import org.jboss.logging.Logger;

/// A rank on an NVIDIA GPU. Weights (unless they are stored in fewer bits) and keys and values are bf16, residual sums
/// and softmax f32.
///
/// A rank that is alone replays graphs, keeps sampled ids on the device and has two steps in
/// flight; so do tensor-parallel ranks that meet on their devices ([StagePeers]). In a group of
/// several stages, and where ranks meet through host memory and [Collective], `await` does a
/// step's work; a stage's own part of it is a graph unless sums go through the host.
public final class CudaBackend implements Backend {
    private static final Logger LOG = Logger.getLogger(CudaBackend.class);

    private final CudaOptions options;
    private final CudaDevice device;
    private final CudaModules modules;
    private DeviceArena weightArena;
    private ShardShape shape;
    private DeviceWeights weights;
    private float[] ropeDivisors;
    private LoadReport loadReport;
    private CudaEpoch epoch;
    // Which product is by what algorithm, measured once.
    private final Map<CublasLt.Extents, Products.Way> ways = new HashMap<>();
    // For peers to write to. It outlives epochs: a peer may have it mapped a little longer than
    // this rank.
    private CudaDevice.DeviceMemory mailbox;

    /// @return why there can be no such backend here, or nothing if there can
    public static Optional<String> unavailableReason() {
        try {
            NativeLibrary.find("libcuda.so.1");
        } catch (PenstockException e) {
            return Optional.of("no NVIDIA driver: " + e.getMessage());
        }
        try {
            CudaDevice device = CudaDevice.open(0);
            int capability = device.computeCapability();
            device.close();
            return capability >= 80
                    ? Optional.empty()
                    : Optional.of("%s has compute capability %d.%d, 8.0 is the least"
                            .formatted(device.name(), capability / 10, capability % 10));
        } catch (PenstockException | UnsatisfiedLinkError e) {
            return Optional.of(e.getMessage());
        }
    }

    /// @throws PenstockException (unavailable) if there is no such device
    public CudaBackend(CudaOptions options) {
        this(options, new CudaModules(CudaDevice.open(options.ordinal())));
    }

    /// @param modules closed with this, as is their device
    CudaBackend(CudaOptions options, CudaModules modules) {
        this.options = options;
        this.modules = modules;
        device = modules.device();
    }

    @Override
    public String device() {
        return device.name();
    }

    @Override
    public void load(Checkpoint checkpoint, RankSlice slice, Map<String, Path> files, LongConsumer loaded) {
        ModelConfig config = checkpoint.config();
        if (config.latent().isPresent() || config.experts().isPresent()) {
            throw new PenstockException(
                    ErrorCategory.BAD_INPUT,
                    "models of the kind %s are not served on this device",
                    config.architecture());
        }
        ShardShape loading = ShardShape.of(checkpoint.config(), slice);
        options.formats().ifPresent(formats -> formats.check(loading));
        try (MappedTensors tensors = WeightUpload.isPlain(checkpoint) ? null : new MappedTensors(checkpoint, files)) {
            load(loading, StoredContents.of(checkpoint, tensors), files, loaded);
        }
    }

    private void load(ShardShape loading, StoredContents contents, Map<String, Path> files, LongConsumer loaded) {
        takeWeights(
                loading,
                options.formats()
                        .<DeviceWeights.Choice>map(formats -> formats)
                        .orElseGet(() -> new StoredFormats(
                                contents,
                                new RankSlice.Range(0, loading.hidden()),
                                loading.slice().vocabulary())));
        LoadReport.Loading loadingEvent = LoadReport.Loading.begun();
        try (WeightUpload upload = new WeightUpload(device, modules, contents, files, loaded)) {
            try (Quantizer quantizer = new Quantizer(device, modules, weights.matrices())) {
                upload.upload(shape, weights, quantizer);
            }
            loadReport = loadingEvent.done(upload.bytes());
            LOG.infof("%s", loadReport);
            if (shape.config().ropeScaling() instanceof RopeScaling.Divisors) {
                ropeDivisors = upload.read(TensorNames.ROPE_DIVISORS);
            }
        }
    }

    /// Weights that no checkpoint holds, for measuring: speed does not depend on their values.
    void loadRandom(ShardShape random) {
        takeWeights(random, options.formats().orElse(DeviceWeights.Formats.WIDE));
        RandomWeights.fill(device, modules, shape, weights);
    }

    private void takeWeights(ShardShape loading, DeviceWeights.Choice formats) {
        device.bind();
        shape = loading;
        DeviceArena measured = DeviceArena.measuring();
        DeviceWeights.lay(shape, formats, measured);
        weightArena = DeviceArena.of(device, measured.used());
        weights = DeviceWeights.lay(shape, formats, weightArena);
    }

    @Override
    public int configure(StepLimits limits, Collective collective) {
        device.bind();
        if (epoch != null) {
            epoch.close();
            epoch = null;
        }
        device.identify("rank %d of stage %d on device %d: "
                .formatted(collective.tpRank(), collective.ppStage(), options.ordinal()));
        if (options.computing().deterministic() && collective.tpSize() > 1) {
            throw new PenstockException(
                    ErrorCategory.BAD_INPUT,
                    "penstock.shard.gpu-deterministic serves stages of one rank, not of %d: sums between ranks are"
                            + " ordered by their size",
                    collective.tpSize());
        }
        Optional<StagePeers.Meeting> meeting = meet(limits, collective);
        RopeFrequencies frequencies = RopeFrequencies.of(shape.config(), ropeDivisors, limits.maxLength());
        epoch = new CudaEpoch(device, modules, options, shape, weights, frequencies, ways, limits, collective, meeting);
        LOG.infof(
                "kernels %s; steps of up to %d sequences are one kernel; tensor-parallel sums %s",
                modules.origins(),
                epoch.wholeRows(),
                collective.tpSize() == 1
                        ? "none"
                        : meeting.map(StagePeers.Meeting::means).orElse("through the hosts"));
        return epoch.kvBlocks();
    }

    private Optional<StagePeers.Meeting> meet(StepLimits limits, Collective collective) {
        CudaOptions.Meeting wanted = options.meeting();
        if (collective.tpSize() == 1 || wanted == CudaOptions.Meeting.TCP) {
            return Optional.empty();
        }
        boolean any = wanted == CudaOptions.Meeting.AUTO;
        List<String> obstacles = new ArrayList<>();
        int ranks = collective.tpSize();
        if (ranks > MailboxLayout.MAX_RANKS) {
            obstacles.add("%d ranks are more than the %d that share memory".formatted(ranks, MailboxLayout.MAX_RANKS));
        } else if (any || wanted == CudaOptions.Meeting.IPC) {
            MailboxLayout layout = MailboxLayout.of(shape, limits, ranks);
            // A rank that lacks the memory must not go on to other means alone: it fails.
            if (mailbox == null || mailbox.size() < layout.bytes()) {
                mailbox = device.allocate(layout.bytes());
            }
            try {
                return Optional.of(DevicePeers.meet(device, collective, layout, mailbox));
            } catch (PeerException | CudaException e) {
                throw e;
            } catch (PenstockException e) {
                obstacles.add(e.getMessage());
            }
        }
        if (any || wanted == CudaOptions.Meeting.NCCL) {
            try {
                return Optional.of(NcclPeers.meet(device, collective, shape, limits));
            } catch (PeerException | CudaException e) {
                throw e;
            } catch (PenstockException e) {
                obstacles.add(e.getMessage());
            }
        }
        if (!any) {
            throw new PenstockException(
                    ErrorCategory.BAD_INPUT,
                    "ranks cannot meet by %s as asked for: %s",
                    wanted,
                    String.join("; ", obstacles));
        }
        LOG.warnf("tensor-parallel sums go through the hosts, which is slow: %s", String.join("; ", obstacles));
        return Optional.empty();
    }

    @Override
    public void submit(StepPlan plan) {
        current().submit(plan);
    }

    @Override
    public boolean awaitable() {
        return current().awaitable();
    }

    @Override
    public StepOutput await() {
        return current().await();
    }

    /// The logits of the last step's first sampled rows, for checks; waits for the device.
    float[] logits(int rows) {
        return current().logits(rows);
    }

    /// The persistent kernel's time with some of its phases, after a step of one sequence.
    String profile(int kinds) {
        return current().profile(kinds);
    }

    /// Where blocks spend their time, as [DecodeKernel#trace] has it.
    ///
    /// @param sequences of the last step
    String trace(int sequences) {
        return current().trace(sequences);
    }

    /// The persistent kernel of this epoch, or null.
    DecodeKernel decodeKernel() {
        return current().decodeKernel();
    }

    /// Sequences at most of a step that is one kernel; 0 where none is.
    int wholeRows() {
        return current().wholeRows();
    }

    /// What the layers' matrices are kept in, for checks.
    Set<WeightFormat> layerFormats() {
        return weights.layers().stream()
                .flatMap(layer -> Stream.of(layer.qkv(), layer.output(), layer.gateUp(), layer.down()))
                .map(Matrix::format)
                .collect(Collectors.toUnmodifiableSet());
    }

    /// Of the last load, or null before it.
    LoadReport loadReport() {
        return loadReport;
    }

    /// What steps of this epoch keep, for checks.
    StepMemory memory() {
        return current().memory();
    }

    /// For checks.
    DeviceWeights weights() {
        return weights;
    }

    /// Bytes of weights that a step of few rows reads.
    long weightBytes() {
        return weights.bytesAStep();
    }

    CudaDevice cudaDevice() {
        return device;
    }

    CudaModules modules() {
        return modules;
    }

    private CudaEpoch current() {
        if (epoch == null) {
            throw new PenstockException(ErrorCategory.INTERNAL, "a step before any epoch");
        }
        return epoch;
    }

    @Override
    public void close() {
        device.bind();
        if (epoch != null) {
            epoch.close();
        }
        if (mailbox != null) {
            device.free(mailbox);
        }
        if (weightArena != null) {
            weightArena.close();
        }
        modules.close();
        device.close();
    }
}
