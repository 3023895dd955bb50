package io.penstock.shard.collective;

import java.time.Duration;

/// The wires of one epoch between the ranks of a shard group. Calls come from the step loop's thread and
/// must be the same, in the same order, on all ranks concerned. Each has a deadline.
///
/// All methods throw [PeerException]; after one, every further call throws and the epoch is over.
public interface Collective extends AutoCloseable {
    int tpRank();

    int tpSize();

    int ppStage();

    int ppSize();

    /// Element-wise sum over the tensor-parallel ranks of this stage, in place. Added in the order of ranks,
    /// so that all ranks hold the same bits.
    void allReduce(float[] values, int offset, int count);

    /// Brings each tensor-parallel rank's part to rank 0 of this stage.
    ///
    /// @param part this rank's values
    /// @param whole on rank 0, receives the parts one behind another in the order of ranks; elsewhere not
    ///     touched
    /// @param counts values of each rank
    void gather(float[] part, int offset, float[] whole, int wholeOffset, int[] counts);

    /// Hands activations to the same tensor-parallel rank of the next stage. May return before they have
    /// arrived.
    void sendNext(float[] values, int offset, int count);

    /// Receives activations from the same tensor-parallel rank of the previous stage.
    void receivePrevious(float[] values, int offset, int count);

    /// On rank 0 of the last stage: tells every other rank what step `number` sampled.
    void publishSampled(long number, int[] slots, int[] tokens, int count);

    /// On the other ranks: what step `number` sampled. Steps are asked for in order, each once.
    ///
    /// @param slots receives the slots, in row order
    /// @return how many
    int receiveSampled(long number, int[] slots, int[] tokens);

    /// Brings each tensor-parallel rank's few bytes to all ranks of this stage; for what is said once an epoch.
    ///
    /// @param mine of the same length on all ranks
    /// @return by rank
    default byte[][] allGather(byte[] mine) {
        // A float holds every byte, and a sum of one byte and zeros is that byte.
        float[] values = new float[tpSize() * mine.length];
        for (int i = 0; i < mine.length; i++) {
            values[tpRank() * mine.length + i] = mine[i];
        }
        allReduce(values, 0, values.length);
        byte[][] all = new byte[tpSize()][mine.length];
        for (int i = 0; i < values.length; i++) {
            all[i / mine.length][i % mine.length] = (byte) values[i];
        }
        return all;
    }

    /// How long a peer may be silent.
    Duration timeout();

    /// From here on the ranks of this stage meet by other means, on their devices: no more sums and no more
    /// gathering here, but the wires are watched.
    ///
    /// @param lost run once, on any thread, when a rank of the stage is gone or this object is closed
    void watchStage(Runnable lost);

    /// Nanoseconds spent waiting in this object, ever.
    long waitedNanos();

    @Override
    void close();
}
