package io.penstock.shard.layers;

import io.penstock.model.config.ModelConfig;
import io.penstock.model.config.RopeScaling;
import java.util.List;

/// Rotary frequencies of a head, after scaling: pair `i` at position `p` turns by `p * frequency(i)`.
///
/// Sources: RoFormer (arXiv 2104.09864); Llama 3.1's scaling as in its reference code; YaRN (arXiv
/// 2309.00071).
public final class RopeFrequencies {
    private final double[] frequencies;
    private final double amplitude;

    private RopeFrequencies(double[] frequencies, double amplitude) {
        this.frequencies = frequencies;
        this.amplitude = amplitude;
    }

    /// @param divisors of the tensor `rope.divisors`, headSize / 2 of them; read only with
    ///     [RopeScaling.Divisors]
    /// @param maxLength tokens of the longest sequence that is served, by which [RopeScaling.LongRope]
    ///     chooses for all
    public static RopeFrequencies of(ModelConfig config, float[] divisors, int maxLength) {
        int pairs = config.rotarySize() / 2;
        double[] base = new double[pairs];
        for (int i = 0; i < pairs; i++) {
            base[i] = Math.pow(config.ropeTheta(), -2.0 * i / config.rotarySize());
        }
        return switch (config.ropeScaling()) {
            case RopeScaling.None() -> new RopeFrequencies(base, 1);
            case RopeScaling.Linear(double factor) -> new RopeFrequencies(divided(base, factor), 1);
            case RopeScaling.Llama3 scaling -> new RopeFrequencies(llama3(base, scaling), 1);
            case RopeScaling.Divisors() -> new RopeFrequencies(divided(base, divisors), 1);
            case RopeScaling.LongRope scaling ->
                new RopeFrequencies(
                        divided(
                                base,
                                maxLength > scaling.originalContextLength()
                                        ? scaling.longDivisors()
                                        : scaling.shortDivisors()),
                        scaling.amplitude());
            case RopeScaling.Yarn scaling ->
                new RopeFrequencies(yarn(base, scaling, config), scaling.attentionFactor());
        };
    }

    private static double[] divided(double[] base, double factor) {
        double[] scaled = base.clone();
        for (int i = 0; i < scaled.length; i++) {
            scaled[i] /= factor;
        }
        return scaled;
    }

    private static double[] divided(double[] base, float[] divisors) {
        double[] scaled = base.clone();
        for (int i = 0; i < scaled.length; i++) {
            scaled[i] /= divisors[i];
        }
        return scaled;
    }

    private static double[] divided(double[] base, List<Double> divisors) {
        double[] scaled = base.clone();
        for (int i = 0; i < scaled.length; i++) {
            scaled[i] /= divisors.get(i);
        }
        return scaled;
    }

    private static double[] llama3(double[] base, RopeScaling.Llama3 scaling) {
        double[] scaled = new double[base.length];
        for (int i = 0; i < base.length; i++) {
            double turns = scaling.originalContextLength() * base[i] / (2 * Math.PI);
            double kept = (turns - scaling.lowFrequencyFactor())
                    / (scaling.highFrequencyFactor() - scaling.lowFrequencyFactor());
            scaled[i] = mix(base[i] / scaling.factor(), base[i], Math.clamp(kept, 0.0, 1.0));
        }
        return scaled;
    }

    private static double[] yarn(double[] base, RopeScaling.Yarn scaling, ModelConfig config) {
        double first = Math.max(Math.floor(pairThatTurns(scaling.betaFast(), scaling, config)), 0);
        double last =
                Math.min(Math.ceil(pairThatTurns(scaling.betaSlow(), scaling, config)), config.rotarySize() - 1.0);
        double width = Math.max(last - first, 0.001);
        double[] scaled = new double[base.length];
        for (int i = 0; i < base.length; i++) {
            double stretched = Math.clamp((i - first) / width, 0.0, 1.0);
            scaled[i] = mix(base[i], base[i] / scaling.factor(), stretched);
        }
        return scaled;
    }

    /// @return which pair, as a fraction, makes `turns` full turns over the original context
    private static double pairThatTurns(double turns, RopeScaling.Yarn scaling, ModelConfig config) {
        return config.rotarySize()
                * Math.log(scaling.originalContextLength() / (turns * 2 * Math.PI))
                / (2 * Math.log(config.ropeTheta()));
    }

    private static double mix(double from, double to, double share) {
        return from * (1 - share) + to * share;
    }

    /// @return pairs of a head
    public int pairs() {
        return frequencies.length;
    }

    /// Radians a position.
    public double frequency(int pair) {
        return frequencies[pair];
    }

    /// What cos and sin are multiplied by.
    public double amplitude() {
        return amplitude;
    }

    /// Writes `pairs()` cosines from `offset` and as many sines behind them.
    public void rotation(int position, float[] target, int offset) {
        for (int i = 0; i < frequencies.length; i++) {
            double angle = position * frequencies[i];
            target[offset + i] = (float) (Math.cos(angle) * amplitude);
            target[offset + frequencies.length + i] = (float) (Math.sin(angle) * amplitude);
        }
    }
}
