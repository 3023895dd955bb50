package io.penstock.shard.backend.cuda;

import static java.lang.foreign.ValueLayout.JAVA_INT;
import static java.lang.foreign.ValueLayout.JAVA_LONG;

import io.penstock.shard.backend.StepLimits;
import io.penstock.shard.backend.cuda.CudaDevice.HostMemory;
import java.lang.foreign.MemorySegment;
import java.util.List;

/// Device memory of an epoch: what steps write, one beside the other in one arena. All are device
/// addresses.
///
/// @param words the running step's description
/// @param table `[slot, maxBlocks]` KV blocks
/// @param slots `[slot, SlotRecord.WORDS]` sampling
/// @param occurrences `[slot, vocabulary]` how often each token was met, for penalties
/// @param last `[slot]` ids last sampled
/// @param rope `[maxLength, headSize / 2]` cos and sin
/// @param residual `[tokens, hidden]` f32
/// @param partial `[tokens, hidden]` f32, a tensor-parallel rank's part of a sum
/// @param normed `[tokens, hidden]` bf16
/// @param qkv `[tokens, qkvSize]` f32, zero between layers as far as products are added to it
/// @param queries `[tokens, heads, headSize]` bf16
/// @param attended `[tokens, heads, headSize]` bf16
/// @param gateUp `[tokens, 2 * intermediate]` bf16
/// @param activated `[tokens, intermediate]` bf16
/// @param eights `[tokens, columns]` e4m3, what the next product takes, where products take that
/// @param eightScales `[tokens]` what those vectors were divided by
/// @param parts `[row, kvHead, split, 16, headSize]` f32, attention's parts
/// @param partSums maximum and sum of each of the parts' rows
/// @param partsArrived `[row, kvHead]` how many of the parts are there, 0 between steps
/// @param logits `[sequences, vocabulary]` f32
/// @param edited as large: logits after bias and penalties
/// @param cache `[2, layer, block, kvHead, blockSize, headSize]` bf16 or e4m3: [Formats#kv]
/// @param workspace of [CublasLt], and of [StreamedProducts]
/// @param productFlags of [StreamedProducts]
/// @param promptTickets of [WidePrompts], 0 between kernels
/// @param decodePhases of [DecodeKernel], as are the seven behind it
/// @param decodeQkv `[vectors, qkvSize]` f32, zero between steps
/// @param expanded rows of a matrix as bf16, where there are any that are not
/// @param results page-locked host memory, two steps' results
record StepMemory(
        long words,
        long table,
        int maxBlocks,
        long slots,
        long occurrences,
        long last,
        long rope,
        long residual,
        long partial,
        long normed,
        long qkv,
        long queries,
        long attended,
        long gateUp,
        long activated,
        long eights,
        long eightScales,
        long parts,
        long partSums,
        long partsArrived,
        long logits,
        long edited,
        long cache,
        long cacheHalf,
        long cacheLayer,
        long workspace,
        long productFlags,
        long promptTickets,
        long decodePhases,
        long decodeMaps,
        long decodeQkv,
        long decodeParts,
        long decodePartSums,
        long decodeCounters,
        long decodeNumbered,
        long decodeTrace,
        long expanded,
        HostMemory results) {

    /// What steps keep, besides bf16 and f32.
    ///
    /// @param expands whether matrices must become bf16 for products
    /// @param eights whether vectors become e4m3 for products
    /// @param kv what keys and values are
    record Formats(boolean expands, boolean eights, CudaOptions.Kv kv) {
        static final Formats WIDE = new Formats(false, false, CudaOptions.Kv.BF16);
    }

    private static final long EXPANDED_BYTES = 192L << 20;

    /// Words of a sampled row's result: token, log-probability, alternatives, fault; 20 ids, 20
    /// log-probabilities.
    static final int RESULT_WORDS = 44;

    static final int MAX_ALTERNATIVES = 20;

    static int resultBytes(StepLimits limits) {
        return 2 * limits.maxSequences() * RESULT_WORDS * 4;
    }

    static StepMemory lay(
            ShardShape shape,
            StepLimits limits,
            List<StepBucket> buckets,
            int kvBlocks,
            int multiprocessors,
            Formats formats,
            DeviceArena arena,
            HostMemory results) {
        long tokens = Math.max(limits.maxStepTokens(), limits.maxSequences());
        long sequences = limits.maxSequences();
        long vocabulary = shape.slice().samples() ? shape.config().vocabularySize() : 0;
        long hidden = shape.hidden();
        int maxBlocks = (limits.maxLength() + limits.blockSize() - 1) / limits.blockSize();
        long widest = Math.max(Math.max(hidden, shape.attentionSize()), shape.intermediate());
        long rows = buckets.stream().mapToLong(StepBucket::rows).max().orElseThrow();
        long split = buckets.stream()
                .mapToLong(bucket -> (long) bucket.rows() * shape.kvHeads() * bucket.splits() * ShardShape.QUERY_TILE)
                .max()
                .orElseThrow();
        long parts = Math.max(split, StreamedContexts.partRows(multiprocessors));
        long cacheLayer = kvBlocks
                * (long) shape.kvHeads()
                * limits.blockSize()
                * shape.headSize()
                * formats.kv().bytes();
        long cacheHalf = cacheLayer * shape.layers();
        return new StepMemory(
                arena.take(4L * StepDescriptor.capacity(limits)),
                arena.take(4 * sequences * maxBlocks),
                maxBlocks,
                arena.take(4 * sequences * SlotRecord.WORDS),
                arena.take(4 * sequences * vocabulary),
                arena.take(4 * sequences),
                arena.take(4L * limits.maxLength() * shape.headSize()),
                arena.take(4 * tokens * hidden),
                arena.take(4 * tokens * hidden),
                arena.take(2 * tokens * hidden),
                arena.take(4 * tokens * shape.qkvSize()),
                arena.take(2 * tokens * shape.attentionSize()),
                arena.take(2 * tokens * shape.attentionSize()),
                arena.take(4 * tokens * shape.intermediate()),
                arena.take(2 * tokens * shape.intermediate()),
                formats.eights() ? arena.take(tokens * widest) : 0,
                formats.eights() ? arena.take(4 * tokens) : 0,
                arena.take(4 * parts * shape.headSize()),
                arena.take(8 * parts),
                arena.take(4 * rows * shape.kvHeads()),
                arena.take(4 * sequences * vocabulary),
                arena.take(4 * sequences * vocabulary),
                arena.take(2 * cacheHalf),
                cacheHalf,
                cacheLayer,
                arena.take(Math.max(CublasLt.WORKSPACE, StreamedProducts.partBytes(multiprocessors))),
                arena.take(4L * multiprocessors),
                arena.take(4),
                arena.take(DecodeKernel.phaseBytes(shape)),
                arena.take(DecodeKernel.mapBytes(shape)),
                arena.take(4L * DecodeKernel.MAX_VECTORS * shape.qkvSize()),
                arena.take(4 * DecodeKernel.partRows(shape, multiprocessors) * shape.headSize()),
                arena.take(8 * DecodeKernel.partRows(shape, multiprocessors)),
                arena.take(DecodeKernel.counterBytes(shape)),
                arena.take(DecodeKernel.numberedBytes(shape, multiprocessors)),
                arena.take(DecodeKernel.TRACE_BYTES),
                formats.expands() ? arena.take(EXPANDED_BYTES) : 0,
                results);
    }

    /// Whether tiles of so many keys are made of whole KV blocks, or parts of one: such as the copy engine brings, with
    /// the eight positions that pieces are permuted by together.
    static boolean tilesAreWhole(int blockSize, int keys) {
        return blockSize % keys == 0 || (blockSize % 8 == 0 && keys % blockSize == 0);
    }

    /// Rows of so many columns that `expanded` holds.
    static int expandedRows(int columns) {
        return (int) (EXPANDED_BYTES / (2L * columns) / 128 * 128);
    }

    long keys(int layer) {
        return cache + layer * cacheLayer;
    }

    long values(int layer) {
        return cache + cacheHalf + layer * cacheLayer;
    }

    /// Fills the argument `Sampling` of the kernel `sample`.
    void describeSampling(MemorySegment argument, ShardShape shape, StepLimits limits) {
        argument.set(JAVA_LONG, 0, logits);
        argument.set(JAVA_LONG, 8, edited);
        argument.set(JAVA_LONG, 16, slots);
        argument.set(JAVA_LONG, 24, occurrences);
        argument.set(JAVA_LONG, 32, last);
        argument.set(JAVA_LONG, 40, results.address());
        argument.set(JAVA_INT, 48, shape.config().vocabularySize());
        argument.set(JAVA_INT, 52, SlotRecord.WORDS);
        argument.set(JAVA_INT, 56, limits.maxSequences());
    }
}
