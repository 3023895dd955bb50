package io.penstock.model.template;

/// What one rendering may use.
final class Budget {
    /// Expressions and statements evaluated, and the weight of what they make and look through. A chat of a thousand
    /// messages takes some 100,000 with the templates in use, and one of a million characters about as many again.
    private static final long STEPS = 5_000_000;

    /// Evaluations within evaluations; the threads' stacks hold several times that.
    private static final int DEPTH = 500;

    private long steps;
    private int depth;

    void enter() {
        pay(1);
        if (++depth > DEPTH) {
            throw new TemplateException("chat template calls itself more than %d deep", DEPTH);
        }
    }

    void leave() {
        depth--;
    }

    /// Pays for making or walking through a value.
    void pay(Value value) {
        pay(Weighed.of(value).weight());
    }

    void pay(long count) {
        steps += count;
        if (steps > STEPS) {
            throw new TemplateException("chat template takes more than %d steps", STEPS);
        }
    }
}
