package io.penstock.shard.backend;

import io.penstock.model.checkpoint.Checkpoint;
import io.penstock.model.tensor.RankSlice;
import io.penstock.shard.collective.Collective;
import java.nio.file.Path;
import java.util.Map;
import java.util.function.LongConsumer;

/// One rank's device: its weights, its KV memory, its kernels. It holds no policy and no queue; it does what
/// the plan says. All calls come from one thread, which owns the device.
///
/// Life: `load`, then for each epoch `configure`, then `submit` and `await` in turn, at most two plans
/// submitted and not awaited. Memory is taken by `load` and `configure`, none after.
public interface Backend extends AutoCloseable {
    /// For people: "cpu 512 bit, 2 threads", "NVIDIA H100 80GB HBM3".
    String device();

    /// Loads this rank's part of the weights. A second call with the same slice is not made.
    ///
    /// @param files where each file of the checkpoint lies on this node, by its name in [Checkpoint]; the
    ///     ranges of the slice are present
    /// @param loaded told the bytes loaded so far, now and then
    /// @throws io.penstock.model.PenstockException if they cannot be had
    void load(Checkpoint checkpoint, RankSlice slice, Map<String, Path> files, LongConsumer loaded);

    /// Starts an epoch: forgets all sequences, takes KV memory.
    ///
    /// @return KV blocks that sequences may use, numbered from 0
    int configure(StepLimits limits, Collective collective);

    /// Begins a step, and returns without waiting for it, for the step before it or for a peer: the step
    /// loop still has the older step to report. A backend that computes on the calling thread only notes the
    /// plan here. The plan's arrays may be reused once `await` has returned for it.
    ///
    /// @throws io.penstock.shard.collective.PeerException if a peer is gone or silent; the epoch is over
    void submit(StepPlan plan);

    /// Whether `await` should be called now: the oldest step is done, or needs this thread to go on. While a
    /// device is busy with it on its own, the loop looks out for the next step to submit.
    default boolean awaitable() {
        return true;
    }

    /// Completes the oldest submitted step.
    ///
    /// @return what was sampled, valid until the next call; empty on ranks other than rank 0 of the last
    ///     stage
    /// @throws io.penstock.shard.collective.PeerException as in `submit`
    /// @throws DeviceException if the device is lost; any other exception fails the step and ends the epoch
    ///     only
    StepOutput await();

    @Override
    void close();
}
