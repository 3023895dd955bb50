package io.penstock.model.template;

import java.util.List;
import java.util.Map;
import java.util.Optional;

/// An expression of a template, as it is written.
sealed interface Expression {
    record Constant(Value value) implements Expression {}

    record Name(String name) implements Expression {}

    record ListOf(List<Expression> items, boolean tuple) implements Expression {}

    record MapOf(List<Map.Entry<Expression, Expression>> entries) implements Expression {}

    record Attribute(Expression object, String name) implements Expression {}

    record Item(Expression object, Expression key) implements Expression {}

    record Slice(Expression object, Optional<Expression> start, Optional<Expression> stop, Optional<Expression> step)
            implements Expression {}

    record Call(Expression callee, Parameters parameters) implements Expression {}

    record Filter(Expression input, String name, Parameters parameters) implements Expression {}

    record Test(Expression input, String name, Parameters parameters, boolean negated) implements Expression {}

    record Not(Expression operand) implements Expression {}

    record Negative(Expression operand) implements Expression {}

    record Positive(Expression operand) implements Expression {}

    record And(Expression left, Expression right) implements Expression {}

    record Or(Expression left, Expression right) implements Expression {}

    record Arithmetic(String operator, Expression left, Expression right) implements Expression {}

    /// Texts of all, joined.
    record Concatenation(List<Expression> parts) implements Expression {}

    /// `a < b <= c`: each neighbour compared, until one comparison fails.
    record Comparison(Expression first, List<Map.Entry<String, Expression>> others) implements Expression {}

    record Conditional(Expression condition, Expression then, Optional<Expression> otherwise) implements Expression {}

    /// What a call is given.
    ///
    /// @param unpacked `*list`
    /// @param unpackedNamed `**dict`
    record Parameters(
            List<Expression> positional,
            Map<String, Expression> named,
            Optional<Expression> unpacked,
            Optional<Expression> unpackedNamed) {
        static final Parameters NONE = new Parameters(List.of(), Map.of(), Optional.empty(), Optional.empty());
    }
}
