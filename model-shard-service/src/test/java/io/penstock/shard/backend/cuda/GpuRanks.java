package io.penstock.shard.backend.cuda;

import com.google.errorprone.annotations.FormatMethod;
import com.google.errorprone.annotations.FormatString;
import io.penstock.model.config.ModelConfig;
import io.penstock.model.config.RopeScaling;
import io.penstock.model.tensor.RankSlice;
import io.penstock.shard.backend.SlotSampling;
import io.penstock.shard.backend.StepLimits;
import io.penstock.shard.backend.StepPlan;
import io.penstock.shard.backend.cuda.CudaDevice.HostMemory;
import io.penstock.shard.backend.cuda.Launcher.Grid;
import io.penstock.shard.backend.cuda.SequenceDriver.Sequence;
import io.penstock.shard.collective.Collective;
import io.penstock.shard.collective.PeerException;
import io.penstock.shard.collective.tcp.Membership;
import io.penstock.shard.collective.tcp.PeerAddress;
import io.penstock.shard.collective.tcp.PeerListener;
import io.penstock.shard.collective.tcp.TcpCollective;
import java.io.IOException;
import java.lang.foreign.Arena;
import java.lang.foreign.ValueLayout;
import java.net.InetAddress;
import java.net.Socket;
import java.nio.file.Path;
import java.time.Duration;
import java.util.ArrayList;
import java.util.Arrays;
import java.util.List;
import java.util.Locale;
import java.util.Optional;
import java.util.concurrent.locks.LockSupport;
import jcuda.driver.CUevent;
import jcuda.driver.CUgraphExec;

/// One rank of a few, each a process on this host: what their sums cost, whether they compute what one rank does, and
/// what a large model's steps take. `bench/gpu/run.sh ranks` starts them.
///
///     GpuRanks RANK TPxPP DEVICE PORT STAGE...
///
/// RANK counts through the first stage's ranks, then the next one's. A STAGE is `sums` or `lost` (one stage only),
/// `model:CHECKPOINT:REFERENCE`, or `SHAPE:FORMAT:BATCH,BATCH...` (7b, 72b: Qwen2.5's; 70b: Llama 3's; weights'
/// formats as [WeightFormat] names them). The system property `penstock.ranks.meeting` says
/// how they meet ([CudaOptions.Meeting], IPC by default); with `penstock.ranks.many-kernels=true` no step is one
/// kernel.
public final class GpuRanks {
    private static final int SUMS = 100;
    private static final int VALUES_A_TOKEN = 2_048;
    private static final int PROMPT = 2_048;
    private static final Duration TIMEOUT = Duration.ofSeconds(5);
    private static final long COMING_NANOS = Duration.ofSeconds(60).toNanos();

    private static final CudaOptions.Meeting MEETING =
            CudaOptions.Meeting.valueOf(System.getProperty("penstock.ranks.meeting", "IPC"));

    private final int process;
    private final int processes;
    private final int rank;
    private final int ranks;
    private final int stage;
    private final int stages;
    private final int device;
    private final int port;
    private final PeerListener listener;
    private long epoch;
    // Bytes a second of this device; 0 before they are measured.
    private double ceiling;

    private GpuRanks(int process, int ranks, int stages, int device, int port) {
        this.process = process;
        processes = ranks * stages;
        rank = process % ranks;
        stage = process / ranks;
        this.ranks = ranks;
        this.stages = stages;
        this.device = device;
        this.port = port;
        listener = PeerListener.bind("127.0.0.1", port + process, "rank-" + process);
    }

    public static void main(String[] arguments) throws IOException {
        String[] extents = arguments[1].split("x");
        GpuRanks ranks = new GpuRanks(
                Integer.parseInt(arguments[0]),
                Integer.parseInt(extents[0]),
                Integer.parseInt(extents[1]),
                Integer.parseInt(arguments[2]),
                Integer.parseInt(arguments[3]));
        ranks.awaitOthers();
        try (PeerListener _ = ranks.listener) {
            for (String stage : Arrays.asList(arguments).subList(4, arguments.length)) {
                String[] parts = stage.split(":");
                switch (parts[0]) {
                    case "sums" -> ranks.sums();
                    case "lost" -> ranks.lost();
                    case "model" -> ranks.model(Path.of(parts[1]), Path.of(parts[2]));
                    default -> ranks.decode(parts[0], WeightFormat.valueOf(parts[1]), parts[2].split(","));
                }
            }
        }
    }

    private void awaitOthers() throws IOException {
        long until = System.nanoTime() + COMING_NANOS;
        for (int other = 0; other < processes; other++) {
            while (true) {
                try (Socket _ = new Socket(InetAddress.getLoopbackAddress(), port + other)) {
                    break;
                } catch (IOException e) {
                    if (System.nanoTime() > until) {
                        throw e;
                    }
                    LockSupport.parkNanos(20_000_000);
                }
            }
        }
    }

    private TcpCollective join() {
        List<PeerAddress> peers = new ArrayList<>();
        for (int other = 0; other < processes; other++) {
            peers.add(new PeerAddress(other % ranks, other / ranks, "127.0.0.1", port + other, "rank-" + other));
        }
        TcpCollective collective = new TcpCollective(
                new Membership(++epoch, ranks, stages, peers.get(process), peers, TIMEOUT),
                listener,
                Duration.ofNanos(20_000));
        collective.connect();
        return collective;
    }

    @FormatMethod
    private void say(@FormatString String format, Object... values) {
        if (rank == 0 && stage == stages - 1) {
            System.out.println(String.format(Locale.ROOT, format, values));
        }
    }

    private ModelConfig sumsConfig() {
        return config(SUMS / 2, VALUES_A_TOKEN, 256 * ranks, 16, 16, 1_000);
    }

    private static ModelConfig config(
            int layers, int hidden, int intermediate, int heads, int kvHeads, int vocabulary) {
        return new ModelConfig(
                ModelConfig.Architecture.QWEN2,
                layers,
                hidden,
                intermediate,
                heads,
                kvHeads,
                128,
                vocabulary,
                32_768,
                1e-6,
                1e6,
                ModelConfig.RopeLayout.HALVES,
                new RopeScaling.None(),
                true,
                false);
    }

    private RankSlice slice(ModelConfig config) {
        return RankSlice.of(config, rank, ranks, stage, stages);
    }

    private ShardShape shape(ModelConfig config) {
        return ShardShape.of(config, slice(config));
    }

    /// A device, its mailbox, and what sums need of an epoch.
    private final class SumEpoch implements AutoCloseable {
        private final CudaDevice cuda = CudaDevice.open(device);
        private final CudaModules modules = new CudaModules(cuda);
        private final Arena arena = Arena.ofShared();
        private final StepLimits limits;
        private final StepBucket bucket;
        private final ShardShape shape = shape(sumsConfig());
        private final CudaDevice.DeviceMemory box;
        private final DeviceArena memoryArena;
        private final StepMemory memory;
        private final StagePeers peers;
        private final ForwardPass pass;
        private final HostMemory words;
        private final HostMemory results;
        private final TcpCollective collective;
        private final StepDescriptor descriptor;
        private final StepPlan plan;

        SumEpoch(int tokens) {
            limits = new StepLimits(16, 1, tokens, tokens);
            bucket = new StepBucket(tokens, 1, true, 1);
            MailboxLayout layout = MailboxLayout.of(shape, limits, ranks);
            box = cuda.allocate(layout.bytes());
            results = cuda.allocateHost(StepMemory.resultBytes(limits));
            DeviceArena measured = DeviceArena.measuring();
            StepMemory.Formats formats = StepMemory.Formats.WIDE;
            StepMemory.lay(shape, limits, List.of(bucket), 1, cuda.multiprocessors(), formats, measured, results);
            memoryArena = DeviceArena.of(cuda, measured.used());
            memoryArena.zero();
            memory = StepMemory.lay(
                    shape, limits, List.of(bucket), 1, cuda.multiprocessors(), formats, memoryArena, results);
            pass = new ForwardPass(
                    cuda,
                    modules,
                    null,
                    shape,
                    new DeviceWeights(0, List.of(), 0, null),
                    memory,
                    limits,
                    CudaOptions.Computing.QUICKEST,
                    arena);
            collective = join();
            StagePeers.Meeting meeting = MEETING == CudaOptions.Meeting.NCCL
                    ? NcclPeers.meet(cuda, collective, shape, limits)
                    : DevicePeers.meet(cuda, collective, layout, box);
            peers = meeting.peers(cuda, modules, collective, shape, memory, arena);
            words = cuda.allocateHost(4 * StepDescriptor.capacity(limits));
            descriptor = pass.descriptor(words);
            plan = new StepPlan(limits, new int[1][(tokens + 15) / 16], new SlotSampling[1]);
            plan.rows = 1;
            plan.totalTokens = tokens;
            plan.count[0] = tokens;
        }

        private void fill(long to, float value) {
            cuda.launch(
                    modules.kernel("elementwise", "fill"),
                    Grid.of(264, 256),
                    to,
                    (long) bucket.tokens() * VALUES_A_TOKEN,
                    value);
        }

        void begin(long number) {
            plan.number = number;
            descriptor.begin(bucket, 0);
            descriptor.writeAdmissions(1_000);
            descriptor.describe(plan, shape.group(), shape.kvHeads(), true, 1_000, null);
            pass.begin(bucket, words.address(), descriptor.end());
        }

        /// Values of two sums, of parts that are known, that are not what they must be.
        long wrong(long number) {
            begin(number);
            fill(memory.residual(), 0);
            for (int i = 0; i < 2; i++) {
                // A sum may leave in the part what it likes.
                fill(peers.part(i), rank + 1f);
                peers.add(bucket, i);
            }
            int count = bucket.tokens() * VALUES_A_TOKEN;
            HostMemory host = cuda.allocateHost(4 * count);
            cuda.download(host, memory.residual(), 4L * count);
            cuda.synchronize();
            float expected = ranks * (ranks + 1);
            long wrong = 0;
            for (int i = 0; i < count; i++) {
                wrong += host.segment().getAtIndex(ValueLayout.JAVA_FLOAT, i) == expected ? 0 : 1;
            }
            cuda.free(host);
            return wrong;
        }

        @Override
        public void close() {
            peers.abort();
            cuda.synchronize();
            peers.close();
            collective.close();
            cuda.free(words);
            cuda.free(results);
            memoryArena.close();
            // Not the mailbox: a peer may have it mapped still. The process ends soon.
            arena.close();
            modules.close();
        }
    }

    private void sums() {
        for (int tokens = 1; tokens <= 8_192; tokens *= tokens < 64 ? 2 : 8) {
            try (SumEpoch epochOfSums = new SumEpoch(tokens)) {
                CudaDevice cuda = epochOfSums.cuda;
                CUgraphExec graph = cuda.capture(() -> {
                    for (int i = 0; i < SUMS; i++) {
                        epochOfSums.peers.add(epochOfSums.bucket, i);
                    }
                });
                CUevent from = cuda.event();
                CUevent to = cuda.event();
                float[] millis = new float[tokens > 512 ? 3 : 7];
                for (int run = 0; run < millis.length; run++) {
                    epochOfSums.begin(run + 1);
                    cuda.record(from);
                    cuda.launch(graph);
                    cuda.record(to);
                    epochOfSums.peers.await(to);
                    millis[run] = cuda.millisBetween(from, to);
                }
                long wrong = epochOfSums.wrong(millis.length + 1);
                Arrays.sort(millis);
                double micros = millis[millis.length / 2] * 1e3 / SUMS;
                long bytes = 4L * tokens * VALUES_A_TOKEN;
                if (wrong > 0) {
                    System.out.println("FAIL rank %d: %d sums are wrong".formatted(rank, wrong));
                }
                say(
                        "sum of %8d bytes, %d ranks, %s, in a graph: %.2f us (fastest %.2f), %.1f GB/s, %d wrong",
                        bytes, ranks, MEETING, micros, millis[0] * 1e3 / SUMS, bytes / micros / 1e3, wrong);
                cuda.destroy(from);
                cuda.destroy(to);
                // Before the epoch's end: a communicator lives as long as its graphs.
                cuda.destroy(graph);
            }
        }
    }

    /// The last rank leaves while the others' devices wait for it: they must notice, and go on living.
    private void lost() {
        try (SumEpoch epochOfSums = new SumEpoch(1)) {
            if (rank == ranks - 1) {
                // As a process that is killed: nothing is said to anybody.
                Runtime.getRuntime().halt(9);
            }
            long began = System.nanoTime();
            epochOfSums.begin(1);
            epochOfSums.peers.add(epochOfSums.bucket, 0);
            CUevent done = epochOfSums.cuda.event();
            epochOfSums.cuda.record(done);
            try {
                epochOfSums.peers.await(done);
                System.out.println("FAIL a lost peer was not noticed");
            } catch (PeerException e) {
                System.out.printf(
                        "ok   noticed after %.1f ms: %s%n", (System.nanoTime() - began) / 1e6, e.getMessage());
            }
            // The device must still do what it is told.
            epochOfSums.begin(2);
            epochOfSums.cuda.synchronize();
        }
    }

    private CudaOptions options(Optional<DeviceWeights.Formats> formats) {
        CudaOptions.Computing computing = new CudaOptions.Computing(
                true, !Boolean.getBoolean("penstock.ranks.many-kernels"), false, CudaOptions.Activations.BF16);
        return new CudaOptions(device, 0.85, computing, MEETING, formats);
    }

    /// Logits against transformers', as one rank's are checked.
    private void model(Path checkpoint, Path reference) throws IOException {
        try (CudaBackend backend = GpuCheck.load(checkpoint, options(Optional.empty()), this::slice)) {
            say("%d x %d ranks, %s", ranks, stages, MEETING);
            GpuCheck.model(backend, checkpoint, reference, this::join, GpuCheck.FEW_SETTINGS);
        }
    }

    private void decode(String name, WeightFormat format, String[] batches) {
        ModelConfig config = switch (name) {
            case "7b" -> GpuCheck.qwen7b();
            case "70b" -> config(80, 8_192, 28_672, 64, 8, 128_256);
            case "72b" -> config(80, 8_192, 29_568, 64, 8, 152_064);
            default -> throw new IllegalArgumentException(name);
        };
        try (CudaBackend backend = new CudaBackend(options(Optional.of(new DeviceWeights.Formats(format, format))))) {
            if (ceiling == 0) {
                // Of the first shape: what a later one allocates for it may lie less well.
                ceiling = GpuBench.ceiling(backend);
            }
            ShardShape shape = shape(config);
            backend.loadRandom(shape);
            long weights = backend.weightBytes();
            StepLimits limits = new StepLimits(16, 64, PROMPT, 2 * PROMPT);
            String what = String.format(Locale.ROOT, "%s, %s, %d x %d ranks", name, format, ranks, stages);
            say(
                    "%s, %s, %.2f GB of weights a rank; read ceiling %.3f TB/s a GPU",
                    what, MEETING, weights / 1e9, ceiling / 1e12);
            say("%s: %.1f ms to the first token of %d", what, 1e3 * prompt(backend, limits), PROMPT);
            for (String batch : batches) {
                int rows = Integer.parseInt(batch);
                int steps = 129;
                double prompt = time(backend, limits, rows, 128, 1);
                double step = (time(backend, limits, rows, 128, steps) - prompt) / (steps - 1);
                say(
                        "%s, decode batch %3d: %.4f ms a step, %.1f tok/s, %.1f %% of the summed ceiling (weights)",
                        what, rows, step * 1e3, rows / step, 100 * weights / step / ceiling);
            }
        }
    }

    /// Seconds to the first token, in the middle of several prompts that follow one another.
    private double prompt(CudaBackend backend, StepLimits limits) {
        double[] seconds = new double[5];
        Collective collective = join();
        SequenceDriver driver = new SequenceDriver(backend, limits, collective);
        for (int i = 0; i < seconds.length; i++) {
            List<Sequence> sequences = GpuBench.sequences(driver, 1, PROMPT, 1);
            long begun = System.nanoTime();
            driver.run(sequences, false, 1);
            seconds[i] = (System.nanoTime() - begun) / 1e9;
            awaitLast(driver, collective, 1);
            driver.retire(0, sequences.getFirst());
        }
        collective.close();
        Arrays.sort(seconds);
        return seconds[seconds.length / 2];
    }

    /// An early stage is done before the last one is, which still needs the wires.
    private void awaitLast(SequenceDriver driver, Collective collective, int rows) {
        if (stages > 1 && !(rank == 0 && stage == stages - 1)) {
            collective.receiveSampled(driver.lastStep(), new int[rows], new int[rows]);
        }
    }

    private double time(CudaBackend backend, StepLimits limits, int batch, int prompt, int wanted) {
        double best = Double.POSITIVE_INFINITY;
        for (int i = 0; i < 2; i++) {
            Collective collective = join();
            SequenceDriver driver = new SequenceDriver(backend, limits, collective);
            List<Sequence> sequences = GpuBench.sequences(driver, batch, prompt, wanted);
            long begun = System.nanoTime();
            driver.run(sequences, false, 2);
            best = Math.min(best, (System.nanoTime() - begun) / 1e9);
            awaitLast(driver, collective, batch);
            collective.close();
        }
        return best;
    }
}
