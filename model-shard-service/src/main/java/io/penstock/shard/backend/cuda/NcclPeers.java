package io.penstock.shard.backend.cuda;

import io.penstock.model.ErrorCategory;
import io.penstock.model.PenstockException;
import io.penstock.shard.backend.StepLimits;
import io.penstock.shard.backend.cuda.Launcher.Grid;
import io.penstock.shard.collective.Collective;
import io.penstock.shard.collective.PeerException;
import java.lang.foreign.Arena;
import java.nio.ByteBuffer;
import java.time.Duration;
import java.util.ArrayList;
import java.util.Arrays;
import java.util.List;
import java.util.concurrent.CompletableFuture;
import java.util.concurrent.ExecutionException;
import java.util.concurrent.TimeUnit;
import java.util.concurrent.TimeoutException;
import java.util.concurrent.locks.LockSupport;
import java.util.concurrent.locks.ReentrantLock;
import jcuda.driver.CUevent;
import org.jboss.logging.Logger;

/// Tensor-parallel ranks that meet by NCCL: on one host or on several, each on a GPU of its own. Its kernels wait for
/// peers without an end, so the host keeps the deadline.
final class NcclPeers implements StagePeers {
    private static final Logger LOG = Logger.getLogger(NcclPeers.class);
    /// How long the ranks may take to find each other: the library's first use of a device takes seconds.
    private static final Duration JOINING = Duration.ofSeconds(60);

    private static final long LOOK_NANOS = 20_000;

    private final CudaDevice device;
    private final Collective collective;
    private final ShardShape shape;
    private final StepMemory memory;
    private final Nccl communicator;
    private final int[] columns;
    private final Kernel add;
    // The ranks' logits as they were sent, one rank's behind another's, and row by row.
    private final CudaDevice.DeviceMemory sent;
    private final CudaDevice.DeviceMemory logits;
    // Held by whoever calls the library: what is aborted is freed.
    private final ReentrantLock calls = new ReentrantLock();
    // Guarded by `this`.
    private CompletableFuture<Void> aborted;

    private NcclPeers(
            CudaDevice device,
            CudaModules modules,
            Collective collective,
            ShardShape shape,
            StepMemory memory,
            Joined joined) {
        this.device = device;
        this.collective = collective;
        this.shape = shape;
        this.memory = memory;
        communicator = joined.communicator;
        columns = joined.columns;
        add = modules.kernel("elementwise", "addTo");
        long bytes =
                shape.slice().samples() ? 4L * joined.sequences * shape.config().vocabularySize() : Float.BYTES;
        sent = device.allocate(bytes);
        logits = device.allocate(bytes);
        collective.watchStage(this::abort);
        connect();
    }

    /// Connections are made at the first use, which must not be within a graph.
    private void connect() {
        CUevent connected = device.event();
        try {
            device.zero(sent);
            device.zero(logits);
            allReduce(memory.partial(), 1);
            if (shape.slice().samples()) {
                broadcasts(1);
            }
            device.record(connected);
            await(connected);
        } finally {
            device.destroy(connected);
        }
    }

    /// @param columns of the vocabulary, by rank
    private record Joined(Nccl communicator, int[] columns, int sequences) implements Meeting {
        @Override
        public String means() {
            return "by NCCL";
        }

        @Override
        public StagePeers peers(
                CudaDevice device,
                CudaModules modules,
                Collective collective,
                ShardShape shape,
                StepMemory memory,
                Arena arena) {
            return new NcclPeers(device, modules, collective, shape, memory, this);
        }
    }

    /// Joins the ranks of a stage; all of them succeed or fail alike.
    ///
    /// @throws PenstockException (unavailable) if the library is absent on some rank, two ranks
    ///     share a GPU, or they do not find each other
    static Meeting meet(CudaDevice device, Collective collective, ShardShape shape, StepLimits limits) {
        int rank = collective.tpRank();
        List<String> failures = new ArrayList<>();
        byte[] id = new byte[Nccl.ID_BYTES];
        try {
            Nccl.require();
            if (rank == 0) {
                id = Nccl.newId();
            }
        } catch (PenstockException e) {
            failures.add(e.getMessage());
        }
        byte[] place = device.identity();
        byte[] mine = ByteBuffer.allocate(id.length + place.length + Integer.BYTES)
                .put(id)
                .put(place)
                .putInt(shape.vocabulary())
                .array();
        byte[][] all = collective.allGather(mine);
        int[] columns = new int[all.length];
        for (int other = 0; other < all.length; other++) {
            columns[other] = ByteBuffer.wrap(all[other]).getInt(id.length + place.length);
            if (other != rank
                    && Arrays.equals(all[other], id.length, id.length + place.length, place, 0, place.length)) {
                failures.add("rank %d has the same GPU".formatted(other));
            }
        }
        agree(collective, failures);
        Nccl communicator = null;
        try {
            communicator = join(device, Arrays.copyOf(all[0], Nccl.ID_BYTES), rank, all.length);
        } catch (PenstockException e) {
            failures.add(e.getMessage());
        }
        try {
            agree(collective, failures);
        } catch (PenstockException e) {
            if (communicator != null) {
                communicator.abort();
            }
            throw e;
        }
        return new Joined(communicator, columns, limits.maxSequences());
    }

    private static void agree(Collective collective, List<String> failures) {
        byte[][] sound = collective.allGather(new byte[] {(byte) (failures.isEmpty() ? 1 : 0)});
        for (int rank = 0; rank < sound.length; rank++) {
            if (sound[rank][0] == 0) {
                throw new PenstockException(
                        ErrorCategory.UNAVAILABLE,
                        "rank %d cannot meet its peers by NCCL%s",
                        rank,
                        rank == collective.tpRank() ? ": " + String.join(", ", failures) : "");
            }
        }
    }

    private static Nccl join(CudaDevice device, byte[] id, int rank, int ranks) {
        CompletableFuture<Nccl> joined = new CompletableFuture<>();
        Thread.ofPlatform().name("nccl-join").daemon().start(() -> {
            try {
                device.bind();
                Nccl communicator = Nccl.join(id, rank, ranks);
                if (!joined.complete(communicator)) {
                    // Nobody waits for it any more.
                    communicator.abort();
                }
            } catch (RuntimeException | Error e) {
                joined.completeExceptionally(e);
            }
        });
        try {
            return joined.get(JOINING.toNanos(), TimeUnit.NANOSECONDS);
        } catch (TimeoutException e) {
            PenstockException late = new PenstockException(
                    ErrorCategory.UNAVAILABLE, e, "the ranks have not joined within %d s", JOINING.toSeconds());
            if (joined.completeExceptionally(late)) {
                throw late;
            }
            return joined.join();
        } catch (ExecutionException e) {
            throw new PenstockException(
                    ErrorCategory.UNAVAILABLE, e, "%s", e.getCause().getMessage());
        } catch (InterruptedException e) {
            Thread.currentThread().interrupt();
            throw new PenstockException(ErrorCategory.UNAVAILABLE, e, "interrupted while the ranks join");
        }
    }

    @Override
    public long part(int index) {
        return memory.partial();
    }

    @Override
    public void add(StepBucket bucket, int index) {
        long count = (long) bucket.tokens() * shape.hidden();
        allReduce(memory.partial(), count);
        device.launch(add, Grid.of(2 * device.multiprocessors(), 256), memory.residual(), memory.partial(), count);
    }

    @Override
    public void gather(StepBucket bucket, int samples) {
        broadcasts(samples);
        long row = 4L * shape.config().vocabularySize();
        long from = sent.address();
        long to = logits.address();
        for (int count : columns) {
            long width = 4L * count;
            device.copyRows(to, row, from, width, width, samples);
            from += width * samples;
            to += width;
        }
    }

    private void allReduce(long values, long count) {
        call(() -> communicator.allReduce(values, count, device.streamHandle()));
    }

    /// Each rank's logits to all.
    private void broadcasts(int samples) {
        call(() -> Nccl.group(() -> {
            long to = sent.address();
            for (int rank = 0; rank < columns.length; rank++) {
                long count = (long) columns[rank] * samples;
                // Only the root reads what it sends.
                communicator.broadcast(memory.logits(), to, count, rank, device.streamHandle());
                to += 4 * count;
            }
        }));
    }

    private void call(Runnable work) {
        calls.lock();
        try {
            if (isAborted()) {
                throw lost();
            }
            work.run();
        } finally {
            calls.unlock();
        }
    }

    @Override
    public long logits() {
        return logits.address();
    }

    @Override
    public void await(CUevent done) {
        long until = System.nanoTime() + collective.timeout().toNanos();
        while (!device.isDone(done)) {
            if (!isAborted() && System.nanoTime() - until > 0) {
                abort();
                // What is aborted comes to its end.
                device.await(done);
                throw new PeerException(
                        collective.tpRank(),
                        collective.ppStage(),
                        "has waited %s for a peer's device".formatted(collective.timeout()),
                        null);
            }
            LockSupport.parkNanos(LOOK_NANOS);
        }
        if (isAborted()) {
            throw lost();
        }
    }

    private PeerException lost() {
        return new PeerException(
                collective.tpRank(), collective.ppStage(), "has lost a peer: its device waits no longer", null);
    }

    private synchronized boolean isAborted() {
        return aborted != null;
    }

    @Override
    public synchronized void abort() {
        if (aborted != null) {
            return;
        }
        aborted = new CompletableFuture<>();
        Thread.ofPlatform().name("nccl-abort").daemon().start(this::abortNow);
    }

    // Off the caller's thread: it takes as long as there are graphs with calls of the library.
    private void abortNow() {
        boolean quiet = false;
        try {
            // A call that connects to the lost peer may hang until just this abort.
            quiet = calls.tryLock(collective.timeout().toNanos(), TimeUnit.NANOSECONDS);
            communicator.abort();
            aborted().complete(null);
        } catch (InterruptedException e) {
            Thread.currentThread().interrupt();
            aborted().completeExceptionally(e);
        } catch (RuntimeException | Error e) {
            aborted().completeExceptionally(e);
        } finally {
            if (quiet) {
                calls.unlock();
            }
        }
    }

    private synchronized CompletableFuture<Void> aborted() {
        return aborted;
    }

    @Override
    public void close() {
        abort();
        try {
            aborted().get(JOINING.toNanos(), TimeUnit.NANOSECONDS);
        } catch (ExecutionException | TimeoutException e) {
            LOG.warnf(e, "rank %d's communicator is not freed", collective.tpRank());
        } catch (InterruptedException e) {
            Thread.currentThread().interrupt();
            throw new PenstockException(ErrorCategory.UNAVAILABLE, e, "interrupted while the communicator is freed");
        } finally {
            device.free(sent);
            device.free(logits);
        }
    }
}
