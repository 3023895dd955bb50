package io.penstock.model.config;

/// How rotary frequencies are stretched past the context a model was trained on.
public sealed interface RopeScaling {
    record None() implements RopeScaling {}

    /// Positions divided by `factor`.
    record Linear(double factor) implements RopeScaling {}

    /// Llama 3.1: long wavelengths divided by `factor`, short ones kept, a ramp between.
    record Llama3(double factor, double lowFrequencyFactor, double highFrequencyFactor, int originalContextLength)
            implements RopeScaling {}

    /// Each frequency divided by its own number, read from the tensor `rope.divisors`, headSize / 2 of them. How GGUF
    /// files of Llama 3.1 and later write the scaling above.
    record Divisors() implements RopeScaling {}

    /// YaRN (arXiv 2309.00071). `attentionFactor` scales cos and sin.
    record Yarn(double factor, double attentionFactor, double betaFast, double betaSlow, int originalContextLength)
            implements RopeScaling {}
}
