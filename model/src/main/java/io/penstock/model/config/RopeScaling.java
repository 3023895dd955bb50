package io.penstock.model.config;

import io.penstock.model.ErrorCategory;
import io.penstock.model.PenstockException;
import java.util.List;
import java.util.stream.Stream;

/// How rotary frequencies are stretched past the context a model was trained on.
public sealed interface RopeScaling {
    record None() implements RopeScaling {}

    /// Positions divided by `factor`.
    record Linear(double factor) implements RopeScaling {
        public Linear {
            within("linear factor", factor, 1e-3, 1e4);
        }
    }

    /// NTK-aware scaling by the length of the sequence (u/bloc97 and u/emozilla, 2023): the base grows once
    /// a sequence is longer than the context of the training, and is the model's own until then.
    ///
    /// @param trainedContextLength in tokens
    record Dynamic(double factor, int trainedContextLength) implements RopeScaling {
        public Dynamic {
            within("dynamic factor", factor, 1, 1e4);
            within("dynamic trained context length", trainedContextLength, 1, 1 << 28);
        }

        /// Tokens that sequences are served to: `factor` times those of the training.
        public int stretchedContextLength() {
            return stretched(trainedContextLength, factor);
        }

        /// What the exponent of a frequency's base is taken of: 1 within the context of the training.
        ///
        /// @param length of the sequence, in tokens
        public double stretch(int length) {
            return Math.max(1, factor * length / trainedContextLength - (factor - 1));
        }
    }

    /// Llama 3.1: long wavelengths divided by `factor`, short ones kept, a ramp between.
    record Llama3(double factor, double lowFrequencyFactor, double highFrequencyFactor, int originalContextLength)
            implements RopeScaling {
        public Llama3 {
            within("llama3 factor", factor, 1, 1e4);
            within("llama3 low frequency factor", lowFrequencyFactor, 1e-3, 1e4);
            within("llama3 high frequency factor", highFrequencyFactor, 1e-3, 1e4);
            within("llama3 original context length", originalContextLength, 1, 1 << 28);
            if (highFrequencyFactor <= lowFrequencyFactor) {
                throw new PenstockException(
                        ErrorCategory.CORRUPT,
                        "llama3 high frequency factor %s does not exceed the low one, %s",
                        highFrequencyFactor,
                        lowFrequencyFactor);
            }
        }
    }

    /// Each frequency divided by its own number, read from the tensor `rope.divisors`, headSize / 2 of them. How GGUF
    /// files of Llama 3.1 and later write the scaling above.
    record Divisors() implements RopeScaling {}

    /// LongRoPE (arXiv 2402.13753), as Phi-3 has it: each frequency divided by its own number, by those
    /// of one list where no sequence is longer than the context of the training, and else by those of
    /// another.
    ///
    /// @param shortDivisors headSize / 2 of them
    /// @param longDivisors as many
    /// @param amplitude scales cos and sin
    /// @param originalContextLength longest that the short ones serve
    record LongRope(List<Double> shortDivisors, List<Double> longDivisors, double amplitude, int originalContextLength)
            implements RopeScaling {
        public LongRope {
            shortDivisors = List.copyOf(shortDivisors);
            longDivisors = List.copyOf(longDivisors);
            Stream.concat(shortDivisors.stream(), longDivisors.stream())
                    .forEach(divisor -> within("longrope divisor", divisor, 1e-3, 1e6));
            within("longrope amplitude", amplitude, 1e-3, 1e3);
            within("longrope original context length", originalContextLength, 1, 1 << 28);
            if (shortDivisors.isEmpty() || shortDivisors.size() != longDivisors.size()) {
                throw new PenstockException(
                        ErrorCategory.CORRUPT,
                        "%d short longrope divisors and %d long ones",
                        shortDivisors.size(),
                        longDivisors.size());
            }
        }
    }

    /// YaRN (arXiv 2309.00071). `attentionFactor` scales cos and sin.
    record Yarn(double factor, double attentionFactor, double betaFast, double betaSlow, int originalContextLength)
            implements RopeScaling {
        public Yarn {
            within("yarn factor", factor, 1, 1e4);
            within("yarn attention factor", attentionFactor, 1e-3, 1e3);
            within("yarn beta_fast", betaFast, 1e-3, 1e4);
            within("yarn beta_slow", betaSlow, 1e-3, 1e4);
            within("yarn original context length", originalContextLength, 1, 1 << 28);
            if (betaFast <= betaSlow) {
                throw new PenstockException(
                        ErrorCategory.CORRUPT, "yarn beta_fast %s does not exceed beta_slow %s", betaFast, betaSlow);
            }
        }

        /// Tokens that the stretched frequencies reach.
        public int stretchedContextLength() {
            return stretched(originalContextLength, factor);
        }

        /// The temperature that the paper derives from the factor, where a model names none.
        public static double defaultAttentionFactor(double factor) {
            return factor <= 1 ? 1 : 1 + 0.1 * Math.log(factor);
        }
    }

    private static int stretched(int contextLength, double factor) {
        return (int) Math.min(1 << 28, Math.round(contextLength * factor));
    }

    // Written so that NaN fails.
    private static void within(String what, double value, double least, double most) {
        if (!(value >= least && value <= most)) {
            throw new PenstockException(
                    ErrorCategory.CORRUPT, "%s is %s, must lie in [%s, %s]", what, value, least, most);
        }
    }
}
