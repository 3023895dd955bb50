package io.penstock.shard.backend.cuda;

import io.penstock.model.config.ModelConfig;
import io.penstock.model.config.RopeScaling;

/// Radians a position, for each pair of a head's elements, and the factor on cos and sin.
///
/// @param radians headSize / 2
record RotaryFrequencies(double[] radians, float scale) {

    /// @param divisors the tensor `rope.divisors`, or null where the model has none
    static RotaryFrequencies of(ModelConfig config, float[] divisors) {
        int pairs = config.headSize() / 2;
        double[] radians = new double[pairs];
        for (int i = 0; i < pairs; i++) {
            radians[i] = Math.pow(config.ropeTheta(), -2.0 * i / config.headSize());
        }
        return switch (config.ropeScaling()) {
            case RopeScaling.None() -> new RotaryFrequencies(radians, 1);
            case RopeScaling.Linear(double factor) -> {
                for (int i = 0; i < pairs; i++) {
                    radians[i] /= factor;
                }
                yield new RotaryFrequencies(radians, 1);
            }
            case RopeScaling.Divisors() -> {
                for (int i = 0; i < pairs; i++) {
                    radians[i] /= divisors[i];
                }
                yield new RotaryFrequencies(radians, 1);
            }
            case RopeScaling.Llama3 llama3 -> {
                for (int i = 0; i < pairs; i++) {
                    radians[i] = llama3(radians[i], llama3);
                }
                yield new RotaryFrequencies(radians, 1);
            }
            case RopeScaling.Yarn yarn -> {
                yarn(radians, config, yarn);
                yield new RotaryFrequencies(radians, (float) yarn.attentionFactor());
            }
        };
    }

    private static double llama3(double radians, RopeScaling.Llama3 scaling) {
        double turns = scaling.originalContextLength() * radians / (2 * Math.PI);
        if (turns < scaling.lowFrequencyFactor()) {
            return radians / scaling.factor();
        }
        if (turns > scaling.highFrequencyFactor()) {
            return radians;
        }
        double keep =
                (turns - scaling.lowFrequencyFactor()) / (scaling.highFrequencyFactor() - scaling.lowFrequencyFactor());
        return (1 - keep) * radians / scaling.factor() + keep * radians;
    }

    // A pair that turns often within the original context is kept, one that hardly turns is interpolated.
    private static void yarn(double[] radians, ModelConfig config, RopeScaling.Yarn scaling) {
        double low = Math.max(0, Math.floor(pairOf(scaling.betaFast(), config, scaling)));
        double high = Math.min(config.headSize() - 1, Math.ceil(pairOf(scaling.betaSlow(), config, scaling)));
        double width = high == low ? 1e-3 : high - low;
        for (int i = 0; i < radians.length; i++) {
            double interpolate = Math.clamp((i - low) / width, 0, 1);
            radians[i] = radians[i] / scaling.factor() * interpolate + radians[i] * (1 - interpolate);
        }
    }

    /// Which pair turns `turns` times within the original context.
    private static double pairOf(double turns, ModelConfig config, RopeScaling.Yarn scaling) {
        return config.headSize()
                * Math.log(scaling.originalContextLength() / (turns * 2 * Math.PI))
                / (2 * Math.log(config.ropeTheta()));
    }
}
