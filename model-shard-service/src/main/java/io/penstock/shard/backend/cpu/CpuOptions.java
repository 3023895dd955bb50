package io.penstock.shard.backend.cpu;

import io.penstock.model.ErrorCategory;
import io.penstock.model.PenstockException;

/// @param threads that compute, the step loop's own included; at least 1
/// @param kvBytes memory for keys and values
public record CpuOptions(int threads, long kvBytes) {
    public CpuOptions {
        if (threads < 1 || threads > 1_024) {
            throw new PenstockException(ErrorCategory.BAD_INPUT, "%d threads, must lie in [1, 1024]", threads);
        }
        if (kvBytes < 1) {
            throw new PenstockException(ErrorCategory.BAD_INPUT, "%d bytes of KV memory", kvBytes);
        }
    }
}
