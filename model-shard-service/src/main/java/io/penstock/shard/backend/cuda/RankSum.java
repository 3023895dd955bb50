package io.penstock.shard.backend.cuda;

/// How the parts that tensor-parallel ranks have of a sum come together: two sums a layer, numbered from 0 in
/// each step.
interface RankSum {
    /// @return where this rank's part of a sum goes, `[tokens, hidden]` f32, a device address
    long part(int index);

    /// Adds all ranks' parts to the residual sums.
    void add(StepBucket bucket, int index);
}
