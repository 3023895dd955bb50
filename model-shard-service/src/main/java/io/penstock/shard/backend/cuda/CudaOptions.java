package io.penstock.shard.backend.cuda;

import java.util.Optional;

/// What an operator may choose about a device.
///
/// @param ordinal of the device, as the driver counts them
/// @param memoryShare part of the memory free after loading that keys, values and steps may
///     take, (0, 1]
/// @param graphs whether steps are captured as graphs; off only to look for errors
/// @param persistentDecode whether small decode steps are one kernel where the device has it;
///     off only to compare
/// @param meeting how tensor-parallel ranks meet
/// @param formats what matrices are kept in: what is stored in another format is converted while it
///     is loaded; where absent, as they are stored, if kernels take that, else as bf16
public record CudaOptions(
        int ordinal,
        double memoryShare,
        boolean graphs,
        boolean persistentDecode,
        Meeting meeting,
        Optional<DeviceWeights.Formats> formats) {
    public CudaOptions(int ordinal, double memoryShare, boolean graphs, boolean persistentDecode, Meeting meeting) {
        this(ordinal, memoryShare, graphs, persistentDecode, meeting, Optional.empty());
    }

    /// What an operator may have matrices kept in.
    public enum Weights {
        /// As the checkpoint has them.
        STORED,
        BF16,
        /// e4m3, a scale for each row.
        FP8,
        /// Groups of 128.
        INT4
    }

    /// @param layers what the layers' matrices are kept in
    /// @param output what the output matrix is; as stored, where the layers' are converted, is bf16
    public static Optional<DeviceWeights.Formats> formats(Weights layers, Weights output) {
        return layers == Weights.STORED && output == Weights.STORED
                ? Optional.empty()
                : Optional.of(new DeviceWeights.Formats(format(layers), format(output)));
    }

    private static WeightFormat format(Weights weights) {
        return switch (weights) {
            case STORED, BF16 -> WeightFormat.BF16;
            case FP8 -> WeightFormat.FP8_ROWS;
            case INT4 -> WeightFormat.INT4;
        };
    }

    /// By what way tensor-parallel ranks come to their sums.
    public enum Meeting {
        /// On the devices where all ranks of a stage can reach each other's memory, else by NCCL where
        /// it is installed, else through the hosts.
        AUTO,
        /// On the devices, by CUDA's interprocess memory, or not at all.
        IPC,
        /// By NCCL, on one host or several, or not at all. No two ranks may share a GPU.
        NCCL,
        /// Through the hosts' memory and TCP.
        TCP
    }

    public CudaOptions {
        if (ordinal < 0) {
            throw new IllegalArgumentException("device ordinal " + ordinal);
        }
        if (!(memoryShare > 0 && memoryShare <= 1)) {
            throw new IllegalArgumentException("memory share %s must lie in (0, 1]".formatted(memoryShare));
        }
    }

    public static CudaOptions defaults() {
        return new CudaOptions(0, 0.9, true, true, Meeting.AUTO);
    }
}
