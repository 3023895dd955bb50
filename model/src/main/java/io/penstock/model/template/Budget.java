package io.penstock.model.template;

/// What one rendering may use.
final class Budget {
    /// Expressions and statements evaluated, and text made, in units of 32 characters. A chat of a thousand messages
    /// takes
    /// some 100,000 with the templates in use.
    private static final long STEPS = 20_000_000;

    /// Evaluations within evaluations; the threads' stacks hold ten times that.
    private static final int DEPTH = 500;

    private static final int CHARS_PER_STEP = 32;

    private long steps;
    private int depth;

    void enter() {
        step(1);
        if (++depth > DEPTH) {
            throw new TemplateException("chat template calls itself more than %d deep", DEPTH);
        }
    }

    void leave() {
        depth--;
    }

    /// Pays for a value of this size.
    void chars(long count) {
        step(count / CHARS_PER_STEP);
    }

    private void step(long count) {
        steps += count;
        if (steps > STEPS) {
            throw new TemplateException("chat template takes more than %d steps", STEPS);
        }
    }
}
