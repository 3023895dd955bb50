package io.penstock.shard.backend.cpu;

import io.penstock.model.config.ModelConfig.RopeLayout;

/// Rotary position embedding of heads (arXiv 2104.09864).
final class Rotation {
    private Rotation() {}

    /// Turns each pair of a head in place, and multiplies by `scale`.
    ///
    /// @param rotation `headSize / 2` cosines from `r`, and as many sines behind them
    static void rotate(RopeLayout layout, float[] head, int h, int headSize, float[] rotation, int r, float scale) {
        int pairs = headSize / 2;
        switch (layout) {
            case HALVES -> {
                for (int i = 0; i < pairs; i++) {
                    float a = head[h + i];
                    float b = head[h + pairs + i];
                    float cos = rotation[r + i];
                    float sin = rotation[r + pairs + i];
                    head[h + i] = (a * cos - b * sin) * scale;
                    head[h + pairs + i] = (b * cos + a * sin) * scale;
                }
            }
            case INTERLEAVED -> {
                for (int i = 0; i < pairs; i++) {
                    float a = head[h + 2 * i];
                    float b = head[h + 2 * i + 1];
                    float cos = rotation[r + i];
                    float sin = rotation[r + pairs + i];
                    head[h + 2 * i] = (a * cos - b * sin) * scale;
                    head[h + 2 * i + 1] = (b * cos + a * sin) * scale;
                }
            }
        }
    }
}
