package io.penstock.shard.backend;

/// A step as a backend takes it: checked against the sequence table, flattened to arrays, reused from step
/// to step. The step loop fills it; a backend reads it.
///
/// Tokens of all rows lie one behind another: row r computes `count[r]` tokens at positions `start[r]`...,
/// their ids at `tokens[tokenOffset[r]]`.... An id of [#FROM_DEVICE] stands for the id last sampled for the
/// row's slot, which this rank finds in its own table or receives from the rank that sampled it.
public final class StepPlan {
    public static final int FROM_DEVICE = -1;

    /// From 1 in each epoch, contiguous.
    public long number;

    public int rows;
    public int totalTokens;

    public final int[] slot;
    public final int[] start;
    public final int[] count;
    public final int[] tokenOffset;
    /// Whether the row ends with the last token known, and so samples the next one.
    public final boolean[] samples;

    /// Index, in the generated text, of the token that the row samples: the counter of its random draw.
    public final int[] generatedPosition;

    public final int[] tokens;

    /// `blockTable[slot][i]` holds positions `[i * blockSize, (i + 1) * blockSize)` of the slot's sequence,
    /// for the slots of this plan's rows. Only appended to while a plan that names the slot is in flight.
    public final int[][] blockTable;

    /// `sampling[slot]`, for the slots of this plan's rows. Another object than in the plan before means
    /// another sequence in the slot, even where nothing else tells.
    public final SlotSampling[] sampling;

    public StepPlan(StepLimits limits, int[][] blockTable, SlotSampling[] sampling) {
        slot = new int[limits.maxSequences()];
        start = new int[limits.maxSequences()];
        count = new int[limits.maxSequences()];
        tokenOffset = new int[limits.maxSequences()];
        samples = new boolean[limits.maxSequences()];
        generatedPosition = new int[limits.maxSequences()];
        tokens = new int[limits.maxStepTokens()];
        this.blockTable = blockTable;
        this.sampling = sampling;
    }
}
