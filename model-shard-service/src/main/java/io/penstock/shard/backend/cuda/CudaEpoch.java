package io.penstock.shard.backend.cuda;

import io.penstock.model.ErrorCategory;
import io.penstock.model.PenstockException;
import io.penstock.shard.backend.StepLimits;
import io.penstock.shard.backend.StepOutput;
import io.penstock.shard.backend.StepPlan;
import io.penstock.shard.backend.cuda.CudaDevice.HostMemory;
import io.penstock.shard.backend.cuda.Launcher.Grid;
import io.penstock.shard.collective.Collective;
import io.penstock.shard.layers.RopeFrequencies;
import java.lang.foreign.Arena;
import java.lang.foreign.ValueLayout;
import java.util.ArrayList;
import java.util.Arrays;
import java.util.List;
import java.util.Map;
import java.util.Optional;
import java.util.Set;
import jcuda.driver.CUevent;

/// The steps of one epoch: the memory they use, and their way from a plan ([SlotNews],
/// [StepDescriptor]) through what is launched for it ([StepGraphs]) to results. Two steps may be
/// in flight.
final class CudaEpoch implements AutoCloseable {
    private static final int IN_FLIGHT = 2;

    private final CudaDevice device;
    private final ShardShape shape;
    private final StepLimits limits;
    private final Collective collective;
    // No step needs the host before its end.
    private final boolean onDevice;
    // A row is computed alike whatever else is in its step.
    private final boolean alike;
    private final Resources resources = new Resources();
    private final Arena arena = Arena.ofShared();
    private final StepMemory memory;
    private final ForwardPass pass;
    private final StagePeers peers;
    private final RankExchange exchange;
    private final DecodeKernel decode;
    // Steps that are one kernel.
    private final Set<StepBucket> whole;
    private final int kvBlocks;
    private final List<StepBucket> decodeBuckets;
    private final List<StepBucket> mixedBuckets;
    private final StepGraphs graphs;
    private final SlotNews news;

    // Two of each, by the step's parity.
    private final HostMemory[] words = new HostMemory[IN_FLIGHT];
    private final StepDescriptor[] descriptors = new StepDescriptor[IN_FLIGHT];
    private final CUevent[] done = new CUevent[IN_FLIGHT];
    private final StepPlan[] plans = new StepPlan[IN_FLIGHT];
    private final int[] samples = new int[IN_FLIGHT];
    private final int[][] sampledSlots;
    private long submitted;
    private long awaited;

    private final StepOutput output;

    /// @throws PenstockException if the device lacks memory, or anything else does: nothing taken
    ///     until then is kept
    CudaEpoch(
            CudaDevice device,
            CudaModules modules,
            CudaOptions options,
            ShardShape shape,
            DeviceWeights weights,
            RopeFrequencies frequencies,
            Map<CublasLt.Extents, Products.Way> ways,
            StepLimits limits,
            Collective collective,
            Optional<StagePeers.Meeting> meeting) {
        this.device = device;
        this.shape = shape;
        this.limits = limits;
        this.collective = collective;
        boolean stageOnDevice = collective.tpSize() == 1 || meeting.isPresent();
        onDevice = stageOnDevice && collective.ppSize() == 1;
        alike = options.computing().deterministic();
        decodeBuckets = StepBucket.of(limits, shape, device.multiprocessors(), false);
        mixedBuckets = StepBucket.of(limits, shape, device.multiprocessors(), true);
        List<StepBucket> buckets = new ArrayList<>(decodeBuckets);
        buckets.addAll(mixedBuckets);
        boolean eights = options.computing().activations() == CudaOptions.Activations.FP8;
        CudaOptions.Kv kv = options.computing().kv();
        StepMemory.Formats formats = new StepMemory.Formats(
                weights.matrices().stream().anyMatch(matrix -> matrix.format() != WeightFormat.BF16), eights, kv);
        sampledSlots = new int[IN_FLIGHT][limits.maxSequences()];
        output = new StepOutput(limits.maxSequences(), StepMemory.MAX_ALTERNATIVES);
        try {
            resources.hold(arena::close);
            // Measured first without KV blocks, to see how many fit beside the rest; nothing is taken
            // before that is known.
            DeviceArena measured = DeviceArena.measuring();
            StepMemory.lay(shape, limits, buckets, 0, device.multiprocessors(), formats, measured, null);
            kvBlocks = kvBlocks(options, measured.used());
            DeviceArena exact = DeviceArena.measuring();
            StepMemory.lay(shape, limits, buckets, kvBlocks, device.multiprocessors(), formats, exact, null);
            DeviceArena deviceArena = DeviceArena.of(device, exact.used());
            resources.hold(deviceArena::close);
            HostMemory results = allocateHost(StepMemory.resultBytes(limits));
            // Values that no key admits are still multiplied, by 0: they must be numbers.
            deviceArena.zero();
            memory = StepMemory.lay(
                    shape, limits, buckets, kvBlocks, device.multiprocessors(), formats, deviceArena, results);
            CublasLt cublas = device.isReal() ? new CublasLt(memory.workspace()) : null;
            if (cublas != null) {
                resources.hold(cublas::close);
            }
            OwnProducts own = OwnProducts.of(device, modules, memory.workspace(), memory.productFlags(), arena);
            Products products = new Products(device, cublas, own, ways, alike);
            pass = new ForwardPass(
                    device, modules, products, shape, weights, memory, limits, options.computing(), arena);
            peers = meeting.map(met -> met.peers(device, modules, collective, shape, memory, arena))
                    .orElse(null);
            if (peers != null) {
                resources.hold(peers::close);
                pass.sampleFrom(peers.logits());
            }
            exchange =
                    onDevice ? null : new RankExchange(device, collective, shape, limits, pass, memory, peers == null);
            if (exchange != null) {
                resources.hold(exchange::close);
            }
            for (int i = 0; i < IN_FLIGHT; i++) {
                words[i] = allocateHost(4 * StepDescriptor.capacity(limits));
                descriptors[i] = pass.descriptor(words[i]);
                CUevent event = device.event();
                resources.hold(() -> device.destroy(event));
                done[i] = event;
            }
            news = new SlotNews(shape, limits, kvBlocks);
            fillRopeTable(modules, frequencies);
            DevicePeers near = peers instanceof DevicePeers met ? met : null;
            // The persistent kernel's copy engine brings keys and values as its tensor cores take them: bf16.
            boolean persistent = options.computing().persistentDecode() && kv == CudaOptions.Kv.BF16;
            decode = persistent && onDevice && (collective.tpSize() == 1 || near != null)
                    ? DecodeKernel.of(device, modules, shape, weights, memory, limits, eights, near, arena)
                    : null;
            StepTrials trials = new StepTrials(device, shape, limits, memory, pass, words[0], descriptors[0], kvBlocks);
            if (device.isReal()) {
                if (decode != null) {
                    trials.describe(decodeBuckets.getFirst());
                    decode.tune(decodeBuckets.getFirst());
                }
                pass.tune(buckets, collective.tpSize() > 1);
            }
            whole = decode == null ? Set.of() : trials.whole(decodeBuckets, decode, collective.tpSize() == 1);
            // Ids that stay on the devices are needed on all of them.
            boolean sampling = onDevice || exchange.samples();
            graphs = new StepGraphs(device, shape, collective, pass, peers, exchange, decode, sampling);
            resources.hold(graphs::close);
            if (stageOnDevice && options.computing().graphs()) {
                graphs.captureDecode(whole);
                if (!alike) {
                    graphs.capture(decodeBuckets);
                }
                graphs.capture(mixedBuckets);
            }
        } catch (RuntimeException | Error e) {
            resources.hold(this::settle);
            resources.closeAfter(e);
            throw e;
        }
    }

    private HostMemory allocateHost(int bytes) {
        HostMemory host = device.allocateHost(bytes);
        resources.hold(() -> device.free(host));
        return host;
    }

    private int kvBlocks(CudaOptions options, long others) {
        long free = (long) (device.freeBytes() * options.memoryShare());
        long each = shape.kvBlockBytes(limits.blockSize(), options.computing().kv());
        long useful =
                (long) limits.maxSequences() * ((limits.maxLength() + limits.blockSize() - 1) / limits.blockSize());
        long fit = Math.min(useful, (free - others) / each);
        if (fit < 1) {
            throw new PenstockException(
                    ErrorCategory.UNAVAILABLE,
                    "%s has %d bytes for keys, values and steps; steps of %d tokens take %d, a KV block %d",
                    device.name(),
                    free,
                    limits.maxStepTokens(),
                    others,
                    each);
        }
        return (int) fit;
    }

    private void fillRopeTable(CudaModules modules, RopeFrequencies frequencies) {
        HostMemory host = device.allocateHost(8 * frequencies.pairs());
        for (int i = 0; i < frequencies.pairs(); i++) {
            host.segment().setAtIndex(ValueLayout.JAVA_DOUBLE, i, frequencies.frequency(i));
        }
        device.launch(
                modules.kernel("elementwise", "ropeTable"),
                Grid.of(8 * device.multiprocessors(), 256),
                host.address(),
                frequencies.pairs(),
                limits.maxLength(),
                (float) frequencies.amplitude(),
                memory.rope());
        device.synchronize();
        device.free(host);
    }

    int kvBlocks() {
        return kvBlocks;
    }

    void submit(StepPlan plan) {
        if (submitted - awaited == IN_FLIGHT) {
            throw new PenstockException(
                    ErrorCategory.INTERNAL,
                    "step %d is submitted before step %d was awaited",
                    plan.number,
                    submitted - 1);
        }
        int parity = (int) (submitted++ % IN_FLIGHT);
        plans[parity] = plan;
        samples[parity] = 0;
        for (int row = 0; row < plan.rows; row++) {
            if (plan.samples[row]) {
                sampledSlots[parity][samples[parity]++] = plan.slot[row];
            }
        }
        if (onDevice) {
            StepBucket bucket = begin(parity, null);
            if (whole.contains(bucket) && plan.totalTokens == plan.rows && plan.rows > 0) {
                graphs.runDecode(bucket, samples[parity]);
            } else {
                graphs.run(bucket, samples[parity]);
            }
            device.launching("nothing, until the host has seen the step's end");
            device.record(done[parity]);
        }
    }

    /// Whether the oldest step is done, or needs the caller's thread.
    boolean awaitable() {
        return !onDevice || device.isDone(done[(int) (awaited % IN_FLIGHT)]);
    }

    /// Puts a step's description on its way.
    ///
    /// @param known the last id of each slot, where the device does not hold them
    private StepBucket begin(int parity, int[] known) {
        StepPlan plan = plans[parity];
        device.step(plan.number);
        StepBucket bucket = bucketOf(plan);
        StepDescriptor descriptor = descriptors[parity];
        descriptor.begin(bucket, parity);
        news.tell(plan, descriptor, () -> flush(descriptor, bucket, parity));
        descriptor.describe(
                plan, shape.group(), shape.kvHeads(), !alike, shape.config().vocabularySize(), known);
        pass.begin(bucket, words[parity].address(), descriptor.end());
        return bucket;
    }

    private StepBucket bucketOf(StepPlan plan) {
        for (int row = 0; row < plan.rows; row++) {
            if (alike || !StepBucket.isDecode(plan.count[row], shape.group())) {
                return StepBucket.smallest(mixedBuckets, plan.totalTokens);
            }
        }
        // Short chunks may be more tokens than there are slots.
        return plan.totalTokens <= decodeBuckets.getLast().tokens()
                ? StepBucket.smallest(decodeBuckets, plan.totalTokens)
                : StepBucket.smallest(mixedBuckets, plan.totalTokens);
    }

    /// More news of slots than fit one description: the device is told what there is, as a step
    /// without tokens.
    private void flush(StepDescriptor descriptor, StepBucket bucket, int parity) {
        descriptor.writeAdmissions(shape.config().vocabularySize());
        pass.begin(bucket, words[parity].address(), descriptor.end());
        device.synchronize();
        descriptor.begin(bucket, parity);
    }

    StepOutput await() {
        if (awaited == submitted) {
            throw new PenstockException(ErrorCategory.INTERNAL, "no step is submitted");
        }
        int parity = (int) (awaited % IN_FLIGHT);
        long number = plans[parity].number;
        if (!onDevice) {
            exchange(parity);
        }
        device.step(number);
        if (peers == null) {
            device.await(done[parity]);
        } else {
            peers.await(done[parity]);
        }
        awaited++;
        output.number = number;
        output.count = 0;
        output.waitNanos = exchange == null ? 0 : exchange.takeWaited();
        boolean reports = collective.tpRank() == 0 && collective.ppStage() == collective.ppSize() - 1;
        if (reports) {
            read(parity);
        }
        if (!onDevice && reports) {
            collective.publishSampled(number, output.slot, output.token, output.count);
        }
        return output;
    }

    /// A whole step of a rank that must meet others.
    private void exchange(int parity) {
        StepPlan plan = plans[parity];
        int[] known = null;
        if (!exchange.samples()) {
            exchange.receiveThrough(plan.number - 1);
            known = exchange.lastTokens();
        }
        StepBucket bucket = begin(parity, known);
        exchange.begin(plan.totalTokens);
        if (!shape.slice().embeds()) {
            exchange.receive();
        }
        graphs.run(bucket, samples[parity]);
        device.record(done[parity]);
        if (!shape.slice().samples()) {
            // What a lost peer leaves undone must not go on to the next stage as if it were done.
            if (peers != null) {
                peers.await(done[parity]);
            }
            exchange.send();
        }
    }

    private void read(int parity) {
        for (int i = 0; i < samples[parity]; i++) {
            if (result(parity, i, 3) != 0) {
                throw new PenstockException(
                        ErrorCategory.INTERNAL,
                        "logits of slot %d in step %d are no distribution: NaN, infinity, or nothing left",
                        sampledSlots[parity][i],
                        output.number);
            }
            output.slot[i] = sampledSlots[parity][i];
            output.token[i] = result(parity, i, 0);
            output.logprob[i] = Float.intBitsToFloat(result(parity, i, 1));
            output.topCount[i] = result(parity, i, 2);
            for (int k = 0; k < output.topCount[i]; k++) {
                output.topTokens[i][k] = result(parity, i, 4 + k);
                output.topLogprobs[i][k] = Float.intBitsToFloat(result(parity, i, 4 + StepMemory.MAX_ALTERNATIVES + k));
            }
        }
        output.count = samples[parity];
    }

    private int result(int parity, int row, int word) {
        long at = ((long) parity * limits.maxSequences() + row) * StepMemory.RESULT_WORDS + word;
        return memory.results().segment().getAtIndex(ValueLayout.JAVA_INT, at);
    }

    /// @param kinds as in [DecodeKernel#profile], after a step of one sequence
    String profile(int kinds) {
        return decode.profile(decodeBuckets.getFirst(), kinds);
    }

    String trace(int sequences) {
        return decode.trace(StepBucket.smallest(decodeBuckets, sequences));
    }

    DecodeKernel decodeKernel() {
        return decode;
    }

    /// Sequences at most of a step that is one kernel; 0 where none is.
    int wholeRows() {
        return whole.stream().mapToInt(StepBucket::rows).max().orElse(0);
    }

    StepMemory memory() {
        return memory;
    }

    float[] logits(int rows) {
        int count = rows * shape.config().vocabularySize();
        HostMemory host = device.allocateHost(4 * count);
        device.download(host, peers == null ? memory.logits() : peers.logits(), 4L * count);
        device.synchronize();
        float[] values = host.segment().toArray(ValueLayout.JAVA_FLOAT);
        device.free(host);
        return Arrays.copyOf(values, count);
    }

    // Steps may be in flight when an epoch ends; they must not write what is given back, nor wait for peers.
    private void settle() {
        if (peers != null) {
            peers.abort();
        }
        device.synchronize();
    }

    @Override
    public void close() {
        // Held last, so that it comes first.
        resources.hold(this::settle);
        resources.close();
    }
}
