package io.penstock.shard.backend.cuda;

import io.penstock.shard.collective.Collective;
import io.penstock.shard.collective.PeerException;
import java.lang.foreign.Arena;
import jcuda.driver.CUevent;

/// Tensor-parallel ranks of a stage that meet on their devices: what they exchange is launched on the stream, within
/// a step's graph, and the host only watches that the peers are there.
interface StagePeers extends RankSum, AutoCloseable {
    /// Joins the ranks' logits of so many rows at most, on all of them.
    void gather(StepBucket bucket, int samples);

    /// The whole vocabulary's logits, `[sequences, vocabulary]` f32, once they are gathered; a device address.
    long logits();

    /// Waits for the end of a step.
    ///
    /// @throws PeerException if the device has given its peers up; the step's results are worthless
    void await(CUevent done);

    /// Ends whatever the device waits for. From any thread, more than once if need be.
    void abort();

    /// To be called when nothing runs any more that meets the peers, and no graph that does is left.
    @Override
    void close();

    /// What the ranks of a stage have told each other before an epoch's memory is laid.
    interface Meeting {
        /// For the log and for errors.
        String means();

        StagePeers peers(
                CudaDevice device,
                CudaModules modules,
                Collective collective,
                ShardShape shape,
                StepMemory memory,
                Arena arena);
    }
}
