package io.penstock.model.template;

import java.util.ArrayList;
import java.util.LinkedHashMap;
import java.util.List;
import java.util.Map;
import java.util.Optional;

/// Evaluates expressions. Knows no values but [Value], calls nothing but [Value.Callable]: a template reaches no Java.
final class Evaluator {
    private final Budget budget;

    Evaluator(Budget budget) {
        this.budget = budget;
    }

    Value evaluate(Expression expression, Scope scope) {
        budget.enter();
        Value value = switch (expression) {
            case Expression.Constant(Value constant) -> constant;
            case Expression.Name(String name) -> scope.get(name);
            case Expression.ListOf(List<Expression> items, boolean tuple) ->
                new Value.Sequence(all(items, scope), tuple);
            case Expression.MapOf(List<Map.Entry<Expression, Expression>> entries) -> {
                Map<Value, Value> map = new LinkedHashMap<>();
                for (Map.Entry<Expression, Expression> entry : entries) {
                    map.put(evaluate(entry.getKey(), scope), evaluate(entry.getValue(), scope));
                }
                yield new Value.Mapping(map);
            }
            case Expression.Attribute(Expression object, String name) ->
                Attributes.attribute(owner(object, scope), name);
            case Expression.Item(Expression object, Expression key) ->
                Attributes.item(owner(object, scope), evaluate(key, scope));
            case Expression.Slice(
                    Expression object,
                    Optional<Expression> start,
                    Optional<Expression> stop,
                    Optional<Expression> step) ->
                Slices.of(
                        evaluate(object, scope), optional(start, scope), optional(stop, scope), optional(step, scope));
            case Expression.Call(Expression callee, Expression.Parameters parameters) ->
                call(evaluate(callee, scope), arguments(parameters, scope));
            case Expression.Filter(Expression input, String name, Expression.Parameters parameters) ->
                Filters.apply(name, paid(input, scope), arguments(parameters, scope));
            case Expression.Test(Expression input, String name, Expression.Parameters parameters, boolean negated) ->
                Value.of(Tests.apply(name, evaluate(input, scope), arguments(parameters, scope)) != negated);
            case Expression.Not(Expression operand) -> Value.of(!Operators.isTrue(evaluate(operand, scope)));
            case Expression.Negative(Expression operand) -> Numbers.negate(number(operand, scope, "-"));
            case Expression.Positive(Expression operand) -> number(operand, scope, "+");
            case Expression.And(Expression left, Expression right) -> {
                Value first = evaluate(left, scope);
                yield Operators.isTrue(first) ? evaluate(right, scope) : first;
            }
            case Expression.Or(Expression left, Expression right) -> {
                Value first = evaluate(left, scope);
                yield Operators.isTrue(first) ? first : evaluate(right, scope);
            }
            case Expression.Arithmetic(String operator, Expression left, Expression right) ->
                Operators.arithmetic(operator, evaluate(left, scope), evaluate(right, scope));
            case Expression.Concatenation(List<Expression> parts) ->
                Text.join(all(parts, scope).stream().map(Spelling::text).toList(), Text.EMPTY);
            case Expression.Comparison(Expression first, List<Map.Entry<String, Expression>> others) ->
                compare(paid(first, scope), others, scope);
            case Expression.Conditional(Expression condition, Expression then, Optional<Expression> otherwise) -> {
                if (Operators.isTrue(evaluate(condition, scope))) {
                    yield evaluate(then, scope);
                }
                yield otherwise.isPresent()
                        ? evaluate(otherwise.get(), scope)
                        : new Value.Undefined(
                                "the inline if-expression evaluated to false and no else section was" + " defined.");
            }
        };
        if (makes(expression)) {
            budget.pay(value);
        }
        budget.leave();
        return value;
    }

    /// Whether the value may be new; others were paid for when they came about.
    private static boolean makes(Expression expression) {
        return expression instanceof Expression.Arithmetic
                || expression instanceof Expression.Concatenation
                || expression instanceof Expression.Filter
                || expression instanceof Expression.Call
                || expression instanceof Expression.Slice
                || expression instanceof Expression.ListOf
                || expression instanceof Expression.MapOf;
    }

    /// Evaluates what is then looked through.
    private Value paid(Expression expression, Scope scope) {
        Value value = evaluate(expression, scope);
        budget.pay(value);
        return value;
    }

    /// A method call looks through the text it is called on; items of lists and dicts are found at once.
    private Value owner(Expression expression, Scope scope) {
        Value value = evaluate(expression, scope);
        if (value instanceof Text) {
            budget.pay(value);
        }
        return value;
    }

    private Value number(Expression operand, Scope scope, String operator) {
        Value value = evaluate(operand, scope);
        if (!Operators.isNumber(value)) {
            Operators.refuseUndefined(value);
            throw new TemplateException("bad operand type for unary %s: '%s'", operator, Operators.type(value));
        }
        return value instanceof Value.Bool ? Value.of(Operators.whole(value)) : value;
    }

    private Value optional(Optional<Expression> expression, Scope scope) {
        return expression.isPresent() ? evaluate(expression.get(), scope) : Value.NONE;
    }

    private List<Value> all(List<Expression> expressions, Scope scope) {
        List<Value> values = new ArrayList<>(expressions.size());
        for (Expression expression : expressions) {
            values.add(evaluate(expression, scope));
        }
        return values;
    }

    private Value compare(Value first, List<Map.Entry<String, Expression>> others, Scope scope) {
        Value left = first;
        for (Map.Entry<String, Expression> other : others) {
            Value right = paid(other.getValue(), scope);
            String operator = other.getKey();
            boolean holds = switch (operator) {
                case "==" -> Operators.equal(left, right);
                case "!=" -> !Operators.equal(left, right);
                case "in" -> Operators.contains(right, left);
                case "not in" -> !Operators.contains(right, left);
                case "<" -> Operators.compare(left, right, operator) < 0;
                case "<=" -> Operators.compare(left, right, operator) <= 0;
                case ">" -> Operators.compare(left, right, operator) > 0;
                case ">=" -> Operators.compare(left, right, operator) >= 0;
                default -> throw new AssertionError(operator);
            };
            if (!holds) {
                return Value.FALSE;
            }
            left = right;
        }
        return Value.TRUE;
    }

    Arguments arguments(Expression.Parameters parameters, Scope scope) {
        if (parameters.equals(Expression.Parameters.NONE)) {
            return Arguments.NONE;
        }
        List<Value> positional = all(parameters.positional(), scope);
        if (parameters.unpacked().isPresent()) {
            positional.addAll(Operators.iterate(evaluate(parameters.unpacked().get(), scope)));
        }
        Map<String, Value> named = new LinkedHashMap<>();
        parameters.named().forEach((name, value) -> named.put(name, evaluate(value, scope)));
        if (parameters.unpackedNamed().isPresent()) {
            Value more = evaluate(parameters.unpackedNamed().get(), scope);
            if (!(more instanceof Value.Mapping(Map<Value, Value> entries))) {
                throw new TemplateException("argument after ** must be a mapping, not %s", Operators.type(more));
            }
            entries.forEach((key, value) -> named.put(Spelling.text(key).chars(), value));
        }
        return new Arguments(positional, named);
    }

    Value call(Value callee, Arguments arguments) {
        if (callee instanceof Value.Callable(String _, Value.Body body)) {
            return body.call(arguments);
        }
        Operators.refuseUndefined(callee);
        throw new TemplateException("'%s' object is not callable", Operators.type(callee));
    }
}
