package io.penstock.shard.backend.cuda;

import static org.assertj.core.api.Assertions.assertThat;

import io.penstock.shard.backend.StepLimits;
import io.penstock.shard.backend.cuda.CudaOptions.Kv;
import java.util.List;
import org.junit.jupiter.api.Test;

/// Keys and values of fewer bits: what is promised to the scheduler must be there, and no layer
/// may lie in another's.
final class TestKvFormat {
    private final ShardShape shape = Shapes.of(512, 8, 2, 64, 1_408);
    private final StepLimits limits = new StepLimits(16, 4, 64, 256);

    private StepMemory lay(Kv kv, int blocks) {
        return StepMemory.lay(
                shape,
                limits,
                List.of(new StepBucket(64, 4, true, 1)),
                blocks,
                132,
                new StepMemory.Formats(false, false, kv),
                DeviceArena.measuring(),
                null);
    }

    @Test
    void halfOfTheBytesHoldTwiceTheBlocks() {
        // Keys and values, 2 layers, 2 heads of 64, 16 positions.
        assertThat(shape.kvBlockBytes(16, Kv.FP8)).isEqualTo(2L * 2 * 2 * 64 * 16);
        assertThat(shape.kvBlockBytes(16, Kv.BF16)).isEqualTo(2 * shape.kvBlockBytes(16, Kv.FP8));
    }

    @Test
    void layersLieBehindOneAnotherInTheirOwnBytes() {
        for (Kv kv : Kv.values()) {
            StepMemory memory = lay(kv, 30);
            long layer = 30 * shape.kvBlockBytes(16, kv) / (2L * shape.layers());
            assertThat(memory.cacheLayer()).isEqualTo(layer);
            assertThat(memory.keys(1) - memory.keys(0)).isEqualTo(layer);
            assertThat(memory.values(0)).isEqualTo(memory.keys(1) + layer);
            assertThat(memory.workspace())
                    .as("what lies behind the cache")
                    .isGreaterThanOrEqualTo(memory.values(1) + layer);
        }
        assertThat(lay(Kv.FP8, 60).cacheHalf()).isEqualTo(lay(Kv.BF16, 30).cacheHalf());
    }

    @Test
    void bf16IsWhatOneGetsUnasked() {
        assertThat(CudaOptions.defaults().computing().kv()).isEqualTo(Kv.BF16);
        assertThat(CudaOptions.Computing.of(true, CudaOptions.Activations.BF16).kv())
                .isEqualTo(Kv.BF16);
        assertThat(CudaOptions.Computing.of(true, CudaOptions.Activations.BF16, Kv.FP8)
                        .kv())
                .isEqualTo(Kv.FP8);
    }
}
