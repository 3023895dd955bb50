package io.penstock.shard.backend.cuda;

import static java.lang.foreign.ValueLayout.JAVA_INT;
import static java.lang.foreign.ValueLayout.JAVA_LONG;

import io.penstock.model.ErrorCategory;
import io.penstock.model.PenstockException;
import io.penstock.shard.backend.cuda.CudaDevice.HostMemory;
import io.penstock.shard.backend.cuda.Launcher.Grid;
import io.penstock.shard.collective.Collective;
import io.penstock.shard.collective.PeerException;
import java.io.IOException;
import java.lang.foreign.Arena;
import java.lang.foreign.MemorySegment;
import java.nio.charset.StandardCharsets;
import java.nio.file.Files;
import java.nio.file.Path;
import java.time.Duration;
import java.util.ArrayList;
import java.util.Arrays;
import java.util.List;
import jcuda.driver.CUevent;

/// Tensor-parallel ranks of one host that reach each other's device memory (peers.cuh): sums and logits go from
/// one's into the others'.
final class DevicePeers implements StagePeers {
    private static final Path BOOT = Path.of("/proc/sys/kernel/random/boot_id");
    /// Struct `Peers` of peers.cuh.
    static final int PEERS_BYTES = 152;
    // Shorter than what a kernel waits for anything, which ends the context.
    private static final long MOST_NANOS = Duration.ofSeconds(30).toNanos();
    private static final int ABORTED = 1;
    private static final int SILENT = 2;
    private static final int ABORT_WORD = 0;
    private static final int TOLD_WORD = 1;
    private static final int SUM_THREADS = 256;
    private static final int MOVE_THREADS = 512;

    private final CudaDevice device;
    private final Collective collective;
    private final ShardShape shape;
    private final StepMemory memory;
    private final MailboxLayout layout;
    private final long mailbox;
    private final List<Long> opened;
    private final int firstVocabulary;
    // Guarded by itself until it is given back: the host's word to the device, the device's to the host.
    private final HostMemory words;
    private boolean closed;
    private final MemorySegment argument;
    private final MemorySegment stepArgument;
    private final Kernel sumSmall;
    private final Kernel sumLarge;
    private final Kernel sumScattered;
    private final Kernel gather;

    private DevicePeers(
            CudaDevice device,
            CudaModules modules,
            Collective collective,
            ShardShape shape,
            StepMemory memory,
            Mapped meeting,
            Arena arena) {
        this.device = device;
        this.collective = collective;
        this.shape = shape;
        this.memory = memory;
        layout = meeting.layout;
        mailbox = meeting.mailboxes[collective.tpRank()];
        opened = meeting.opened;
        firstVocabulary = shape.slice().vocabulary().from();
        words = device.allocateHost(256);
        sumSmall = modules.kernel("peers", "sumSmall");
        sumLarge = modules.kernel("peers", "sumLarge");
        sumScattered = modules.kernel("peers", "sumScattered");
        gather = modules.kernel("peers", "gatherLogits");
        stepArgument = arena.allocate(16, 8);
        argument = arena.allocate(PEERS_BYTES, 8);
        for (int rank = 0; rank < collective.tpSize(); rank++) {
            argument.set(JAVA_LONG, 8L * rank, meeting.mailboxes[rank]);
        }
        argument.set(JAVA_LONG, 64, mailbox);
        argument.set(JAVA_LONG, 72, words.address() + 4 * TOLD_WORD);
        argument.set(JAVA_LONG, 80, words.address() + 4 * ABORT_WORD);
        layout.describe(argument);
        argument.set(JAVA_LONG, 128, Math.min(collective.timeout().toNanos(), MOST_NANOS));
        argument.set(JAVA_INT, 136, collective.tpSize());
        argument.set(JAVA_INT, 140, collective.tpRank());
        argument.set(JAVA_INT, 144, 2 * shape.layers());
        collective.watchStage(this::abort);
    }

    /// @param mailboxes addresses here, by rank
    /// @param opened those of them that are other processes'
    private record Mapped(MailboxLayout layout, long[] mailboxes, List<Long> opened) implements Meeting {
        @Override
        public String means() {
            return "on the devices";
        }

        @Override
        public DevicePeers peers(
                CudaDevice device,
                CudaModules modules,
                Collective collective,
                ShardShape shape,
                StepMemory memory,
                Arena arena) {
            return new DevicePeers(device, modules, collective, shape, memory, this, arena);
        }

        void close(CudaDevice device) {
            opened.forEach(address -> IpcMemory.close(device, address));
        }
    }

    /// Shows the other ranks this one's mailbox and maps theirs.
    ///
    /// @param box this rank's, at least of the layout's size; nobody may write to it any more
    /// @return nothing if some rank is on another host, or cannot reach another one's memory; all ranks agree
    static Meeting meet(CudaDevice device, Collective collective, MailboxLayout layout, CudaDevice.DeviceMemory box) {
        // What an earlier epoch left would pass for this one's.
        device.zero(box);
        device.synchronize();
        byte[] host = host();
        byte[] mine = Arrays.copyOf(host, host.length + IpcMemory.HANDLE_BYTES);
        System.arraycopy(IpcMemory.export(device, box.address()), 0, mine, host.length, IpcMemory.HANDLE_BYTES);
        byte[][] all = collective.allGather(mine);
        long[] mailboxes = new long[all.length];
        List<Long> opened = new ArrayList<>();
        String failure = "";
        for (int rank = 0; rank < all.length && failure.isEmpty(); rank++) {
            if (rank == collective.tpRank()) {
                mailboxes[rank] = box.address();
            } else if (!Arrays.equals(host, 0, host.length, all[rank], 0, host.length)) {
                failure = "rank %d is on another host".formatted(rank);
            } else {
                try {
                    mailboxes[rank] =
                            IpcMemory.open(device, Arrays.copyOfRange(all[rank], host.length, all[rank].length));
                    opened.add(mailboxes[rank]);
                } catch (CudaException e) {
                    failure = e.getMessage();
                }
            }
        }
        Mapped meeting = new Mapped(layout, mailboxes, List.copyOf(opened));
        byte[][] sound = collective.allGather(new byte[] {(byte) (failure.isEmpty() ? 1 : 0)});
        for (int rank = 0; rank < sound.length; rank++) {
            if (sound[rank][0] == 0) {
                meeting.close(device);
                throw new PenstockException(
                        ErrorCategory.UNAVAILABLE,
                        "rank %d cannot map its peers' memory%s",
                        rank,
                        rank == collective.tpRank() ? ": " + failure : "");
            }
        }
        return meeting;
    }

    private static byte[] host() {
        try {
            return Files.readString(BOOT).strip().getBytes(StandardCharsets.US_ASCII);
        } catch (IOException e) {
            throw new PenstockException(ErrorCategory.INTERNAL, e, "%s: %s", BOOT, e.getMessage());
        }
    }

    /// What kernels that meet the peers themselves are told of them.
    MemorySegment argument() {
        return argument;
    }

    @Override
    public long part(int index) {
        return mailbox + layout.parts() + (index & 1) * layout.partSlot();
    }

    @Override
    public void add(StepBucket bucket, int index) {
        long values = (long) bucket.tokens() * shape.hidden();
        Kernel kernel;
        Grid grid;
        if (MailboxLayout.isSmall(values)) {
            kernel = sumSmall;
            grid = Grid.of((int) ((values / 2 + SUM_THREADS - 1) / SUM_THREADS), SUM_THREADS);
        } else {
            // For two ranks, reading all of the other's part costs no more than slices, and saves a wait.
            boolean whole = MailboxLayout.isWhole(values, collective.tpSize());
            kernel = whole ? sumLarge : sumScattered;
            long most = whole ? 2L * device.multiprocessors() : MailboxLayout.GATHER_BLOCKS;
            grid = Grid.of((int) Math.min((values / 4 + MOVE_THREADS - 1) / MOVE_THREADS, most), MOVE_THREADS);
        }
        device.launch(kernel, grid, step(bucket), argument, index, memory.residual(), shape.hidden());
    }

    @Override
    public void gather(StepBucket bucket, int samples) {
        long values = (long) samples * shape.config().vocabularySize();
        int blocks = (int) Math.min((values + MOVE_THREADS - 1) / MOVE_THREADS, MailboxLayout.GATHER_BLOCKS);
        device.launch(
                gather,
                Grid.of(blocks, MOVE_THREADS),
                step(bucket),
                argument,
                memory.logits(),
                shape.vocabulary(),
                firstVocabulary,
                shape.config().vocabularySize());
    }

    @Override
    public long logits() {
        return mailbox + layout.logits();
    }

    private MemorySegment step(StepBucket bucket) {
        stepArgument.set(JAVA_LONG, 0, memory.words());
        stepArgument.set(JAVA_INT, 8, bucket.tokens());
        stepArgument.set(JAVA_INT, 12, bucket.rows());
        return stepArgument;
    }

    /// The device itself gives up at the deadline, or when it is told to.
    @Override
    public void await(CUevent done) {
        device.await(done);
        check();
    }

    /// @throws PeerException if the device has given its peers up
    void check() {
        int told = words.segment().getAtIndex(JAVA_INT, TOLD_WORD);
        if (told == ABORTED) {
            throw new PeerException(
                    collective.tpRank(), collective.ppStage(), "has lost a peer: its device waits no longer", null);
        }
        if (told >= SILENT) {
            throw new PeerException(
                    told - SILENT,
                    collective.ppStage(),
                    "has not come to a sum within %s".formatted(collective.timeout()),
                    null);
        }
    }

    @Override
    public void abort() {
        synchronized (words) {
            if (!closed) {
                words.segment().setAtIndex(JAVA_INT, ABORT_WORD, 1);
            }
        }
    }

    @Override
    public void close() {
        synchronized (words) {
            closed = true;
            device.free(words);
        }
        opened.forEach(address -> IpcMemory.close(device, address));
    }
}
