package io.penstock.shard.backend;

/// What a step sampled, one entry for each row with `samples`, in row order. Reused from step to step.
public final class StepOutput {
    public long number;
    public int count;
    public final int[] slot;
    public final int[] token;
    /// Natural logarithm of the token's probability in the model's own distribution.
    public final float[] logprob;
    /// `topCount[i]` alternatives, best first, at `topTokens[i][0..]`.
    public final int[] topCount;

    public final int[][] topTokens;
    public final float[][] topLogprobs;
    /// Time spent waiting for peers.
    public long waitNanos;

    public StepOutput(int maxSequences, int maxTopLogprobs) {
        slot = new int[maxSequences];
        token = new int[maxSequences];
        logprob = new float[maxSequences];
        topCount = new int[maxSequences];
        topTokens = new int[maxSequences][maxTopLogprobs];
        topLogprobs = new float[maxSequences][maxTopLogprobs];
    }
}
