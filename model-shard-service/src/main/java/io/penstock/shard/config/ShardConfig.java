package io.penstock.shard.config;

import io.penstock.shard.backend.Backends;
import io.penstock.shard.backend.cuda.CudaOptions;
import io.quarkus.runtime.configuration.MemorySize;
import io.smallrye.config.ConfigMapping;
import io.smallrye.config.WithDefault;
import java.nio.file.Path;
import java.time.Duration;
import java.util.List;
import java.util.Optional;
import java.util.OptionalInt;

/// One rank. Every key may be an environment variable: `PENSTOCK_SHARD_TP_RANK` and so on.
@ConfigMapping(prefix = "penstock.shard")
public interface ShardConfig {
    /// Schedulers to dial, as `host:port`; the first that answers is used, the others when it is lost.
    @WithDefault("localhost:9081")
    List<String> scheduler();

    /// The node's weight-loader, as `host:port`. Not used where `checkpoint` is set.
    @WithDefault("localhost:9083")
    String loader();

    /// Folder with `tls.crt`, `tls.key` and `ca.crt`: schedulers and the loader are dialled with mutual TLS. What ranks
    /// say to each other is not encrypted. In the clear, if not set.
    Optional<Path> tls();

    /// A checkpoint on this machine: a GGUF file, or a folder. Then no weight-loader is needed.
    Optional<Path> checkpoint();

    /// Name of the model: of the weight-loader's configuration, and what clients ask for.
    String model();

    /// Revision of the model; where absent, the weight-loader's.
    Optional<String> revision();

    /// Name of the shard group that this rank belongs to.
    @WithDefault("default")
    String group();

    /// Number of this process among the group's, from 0, all ranks of a stage before the next stage's. Replaces
    /// `tp-rank` and `pp-stage` where the platform numbers processes, as a StatefulSet does.
    OptionalInt rank();

    /// Tensor-parallel rank, from 0.
    @WithDefault("0")
    int tpRank();

    /// Ranks that share each layer.
    @WithDefault("1")
    int tpSize();

    /// Pipeline stage, from 0.
    @WithDefault("0")
    int ppStage();

    /// Stages that the layers are parted over.
    @WithDefault("1")
    int ppSize();

    /// What computes: `cpu`, `cuda`, or `auto` for CUDA where there is a device and the CPU elsewhere.
    @WithDefault("auto")
    Backends.Choice backend();

    /// Number of the CUDA device.
    @WithDefault("0")
    int device();

    /// Threads that compute on the CPU; where absent, as many as there are processors.
    OptionalInt threads();

    /// Memory for keys and values on the CPU. On a GPU, `gpu-memory-share` decides.
    @WithDefault("512M")
    MemorySize kvMemory();

    /// Part of the GPU memory left after loading that keys, values and steps may take, (0, 1].
    @WithDefault("0.9")
    double gpuMemoryShare();

    /// How tensor-parallel ranks on GPUs come to their sums: `ipc` from device to device, which all ranks of a
    /// stage must be able to (one host); `nccl` by that library, on one host or several; `tcp` through the hosts;
    /// `auto` for the first of these that can be had.
    @WithDefault("auto")
    CudaOptions.Meeting gpuMeeting();

    /// What a GPU keeps the layers' matrices in: `stored` as the checkpoint has them (FP8, int4
    /// groups of 128, else bf16), or `bf16`, `fp8`, `int4`, made while loading.
    @WithDefault("stored")
    CudaOptions.Weights gpuWeights();

    /// The same of the output matrix.
    @WithDefault("stored")
    CudaOptions.Weights gpuOutputWeights();

    /// What large steps on a GPU multiply FP8 weights with: `bf16`, or `fp8` (e4m3, a scale for each
    /// token): twice the rate, less precision.
    @WithDefault("bf16")
    CudaOptions.Activations gpuActivations();

    /// What a GPU keeps keys and values as: `bf16`, or `fp8` (e4m3 without a scale): room for
    /// twice the tokens, less precision.
    @WithDefault("bf16")
    CudaOptions.Kv gpuKv();

    /// Whether a GPU gives a sequence the same bits whatever else is in its steps. Slower; for ranks
    /// that are alone.
    @WithDefault("false")
    boolean gpuDeterministic();

    /// Sequences that may run at once.
    @WithDefault("64")
    int maxSequences();

    /// Tokens that a step may compute.
    @WithDefault("512")
    int maxStepTokens();

    /// Host by which the other ranks reach this one: in a pod, its address.
    @WithDefault("${POD_IP:localhost}")
    String peerHost();

    /// Address to listen on for the other ranks; where absent, `peer-host`.
    Optional<String> peerBind();

    /// Port to listen on for the other ranks; 0 takes a free one.
    @WithDefault("0")
    int peerPort();

    /// Microseconds that a rank spins for its peers before it sleeps. Where absent: 20 on a machine with
    /// processors to spare, 0 elsewhere, where a rank that spins keeps its peer from the processor.
    OptionalInt peerSpinMicros();

    /// A step that takes longer than this makes the liveness check fail.
    @WithDefault("60s")
    Duration stepStall();
}
