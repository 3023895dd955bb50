package io.penstock.model.template;

import java.util.Set;

/// What follows `is`.
final class Tests {
    private static final Set<String> NAMES = Set.of(
            "defined",
            "undefined",
            "none",
            "boolean",
            "true",
            "false",
            "integer",
            "float",
            "number",
            "string",
            "mapping",
            "iterable",
            "sequence",
            "callable",
            "sameas",
            "odd",
            "even",
            "divisibleby",
            "lower",
            "upper",
            "in",
            "eq",
            "equalto",
            "==",
            "ne",
            "!=",
            "lt",
            "lessthan",
            "<",
            "le",
            "<=",
            "gt",
            "greaterthan",
            ">",
            "ge",
            ">=",
            "filter",
            "test");

    private Tests() {}

    static boolean apply(String name, Value value, Arguments given) {
        return switch (name) {
            case "defined" -> !(value instanceof Value.Undefined);
            case "undefined" -> value instanceof Value.Undefined;
            case "none" -> value instanceof Value.None;
            case "boolean" -> value instanceof Value.Bool;
            case "true" -> value.equals(Value.TRUE);
            case "false" -> value.equals(Value.FALSE);
            case "integer" -> value instanceof Value.Int;
            case "float" -> value instanceof Value.Real;
            case "number" -> Operators.isNumber(value);
            case "string" -> value instanceof Text;
            case "mapping" -> value instanceof Value.Mapping;
            case "iterable", "sequence" -> Operators.isIterable(value);
            case "callable" -> value instanceof Value.Callable;
            case "sameas" -> value.equals(given.required("sameas", 0, "other"));
            case "odd" -> Math.floorMod(Operators.integer(value, "odd"), 2) == 1;
            case "even" -> Math.floorMod(Operators.integer(value, "even"), 2) == 0;
            case "divisibleby" -> {
                long divisor = given.integer("divisibleby", 0, "num", 0);
                if (divisor == 0) {
                    throw new TemplateException("divisibleby needs a number other than 0");
                }
                yield Operators.integer(value, "divisibleby") % divisor == 0;
            }
            case "lower" -> TextMethods.isLower(Spelling.text(value).chars());
            case "upper" -> TextMethods.isUpper(Spelling.text(value).chars());
            case "in" -> Operators.contains(given.required("in", 0, "seq"), value);
            case "filter" -> Filters.exists(Spelling.text(value).chars());
            case "test" -> NAMES.contains(Spelling.text(value).chars());
            default -> compares(name, value, given);
        };
    }

    private static boolean compares(String name, Value value, Arguments given) {
        if (!NAMES.contains(name)) {
            throw new TemplateException("No test named '%s'.", name);
        }
        Value other = given.required(name, 0, "other");
        return switch (name) {
            case "eq", "equalto", "==" -> Operators.equal(value, other);
            case "ne", "!=" -> !Operators.equal(value, other);
            case "lt", "lessthan", "<" -> Operators.compare(value, other, "<") < 0;
            case "le", "<=" -> Operators.compare(value, other, "<=") <= 0;
            case "gt", "greaterthan", ">" -> Operators.compare(value, other, ">") > 0;
            case "ge", ">=" -> Operators.compare(value, other, ">=") >= 0;
            default -> throw new AssertionError(name);
        };
    }
}
