package io.penstock.shard.backend.cuda;

import io.penstock.model.config.ModelConfig;
import io.penstock.model.config.RopeScaling;

/// Model shapes that tests share.
final class Shapes {
    private Shapes() {}

    static ShardShape of(int hidden, int heads, int kvHeads, int headSize, int intermediate) {
        ModelConfig config = new ModelConfig(
                ModelConfig.Architecture.LLAMA,
                2,
                hidden,
                intermediate,
                heads,
                kvHeads,
                headSize,
                1_000,
                4_096,
                1e-5,
                1e4,
                ModelConfig.RopeLayout.HALVES,
                new RopeScaling.None(),
                false,
                false);
        return ShardShape.of(config, SequenceDriver.whole(config));
    }
}
