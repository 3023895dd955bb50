package io.penstock.shard.backend.cuda;

import io.penstock.model.ErrorCategory;
import io.penstock.model.PenstockException;
import java.util.Optional;

/// What an operator may choose about a device.
///
/// @param ordinal of the device, as the driver counts them
/// @param memoryShare part of the memory free after loading that keys, values and steps may
///     take, (0, 1]
/// @param computing how steps are computed
/// @param meeting how tensor-parallel ranks meet
/// @param formats what matrices are kept in: what is stored in another format is converted while it
///     is loaded; where absent, as they are stored, if kernels take that, else as bf16
public record CudaOptions(
        int ordinal,
        double memoryShare,
        Computing computing,
        Meeting meeting,
        Optional<DeviceWeights.Formats> formats) {

    /// How steps are computed.
    ///
    /// @param graphs whether steps are captured as graphs; off only to look for errors
    /// @param persistentDecode whether small decode steps are one kernel where the device has it;
    ///     off only to compare
    /// @param deterministic whether a sequence's logits are the same bits whatever else is in its steps:
    ///     every product by one kernel for all numbers of vectors, attention without parts
    /// @param activations what larger products take their vectors as, where weights are FP8
    /// @param kv what keys and values are kept as
    public record Computing(
            boolean graphs, boolean persistentDecode, boolean deterministic, Activations activations, Kv kv) {
        public static final Computing QUICKEST = new Computing(true, true, false, Activations.BF16);

        /// With keys and values in bf16.
        public Computing(boolean graphs, boolean persistentDecode, boolean deterministic, Activations activations) {
            this(graphs, persistentDecode, deterministic, activations, Kv.BF16);
        }

        public Computing {
            if (deterministic && activations == Activations.FP8) {
                throw new PenstockException(
                        ErrorCategory.BAD_INPUT,
                        "penstock.shard.gpu-deterministic and gpu-activations=fp8 exclude each other: small steps"
                                + " would differ from large ones");
            }
        }

        /// For an operator's choice.
        public static Computing of(boolean deterministic, Activations activations) {
            return of(deterministic, activations, Kv.BF16);
        }

        /// The same with a choice for keys and values.
        public static Computing of(boolean deterministic, Activations activations, Kv kv) {
            return new Computing(true, !deterministic, deterministic, activations, kv);
        }
    }

    /// What products of many vectors multiply FP8 weights with.
    public enum Activations {
        /// Weights are widened.
        BF16,
        /// e4m3 with a scale for each token, as it comes: twice the rate, some of the precision.
        FP8
    }

    /// What keys and values are kept as.
    public enum Kv {
        BF16(2),
        /// e4m3 without a scale, as vLLM's `kv_cache_dtype=fp8` is by default: half of the bytes,
        /// so twice the tokens; what is larger than 448 becomes 448.
        FP8(1);

        private final int bytes;

        Kv(int bytes) {
            this.bytes = bytes;
        }

        /// Of an element.
        int bytes() {
            return bytes;
        }
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
        return new CudaOptions(0, 0.9, Computing.QUICKEST, Meeting.AUTO, Optional.empty());
    }
}
