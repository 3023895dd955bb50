package io.penstock.model.template;

import java.util.List;
import java.util.Optional;

/// A part of a template, as it is written.
sealed interface Statement {
    record Data(Text text) implements Statement {}

    record Print(Expression expression) implements Statement {}

    record If(Expression condition, List<Statement> then, List<Statement> otherwise) implements Statement {}

    /// @param condition items for which it does not hold are left out
    record For(
            Target target,
            Expression items,
            Optional<Expression> condition,
            List<Statement> body,
            List<Statement> otherwise)
            implements Statement {}

    record Assign(Target target, Expression value) implements Statement {}

    /// @param filters applied to what the body prints
    record AssignBlock(Target target, List<Expression.Filter> filters, List<Statement> body) implements Statement {}

    record FilterBlock(List<Expression.Filter> filters, List<Statement> body) implements Statement {}

    record Define(Macro macro) implements Statement {}

    /// Calls with the body as the macro's `caller`.
    record CallBlock(Expression.Call call, Macro caller) implements Statement {}

    record With(List<Target> targets, List<Expression> values, List<Statement> body) implements Statement {}

    /// A body in a scope of its own.
    record Scoped(List<Statement> body) implements Statement {}

    record Break() implements Statement {}

    record Continue() implements Statement {}

    /// @param defaults of the last parameters
    /// @param takesRest whether the body asks for `varargs`
    /// @param takesNamed whether it asks for `kwargs`
    /// @param takesCaller whether it asks for `caller`
    record Macro(
            String name,
            List<String> parameters,
            List<Expression> defaults,
            List<Statement> body,
            boolean takesRest,
            boolean takesNamed,
            boolean takesCaller) {}

    /// Where a value goes.
    sealed interface Target {
        record Name(String name) implements Target {}

        record Attribute(String namespace, String name) implements Target {}

        record Tuple(List<Target> targets) implements Target {}
    }
}
