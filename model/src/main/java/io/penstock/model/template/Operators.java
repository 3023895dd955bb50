package io.penstock.model.template;

import java.util.ArrayList;
import java.util.Iterator;
import java.util.List;
import java.util.Map;

/// Python's operators on template values.
final class Operators {
    private Operators() {}

    static boolean isTrue(Value value) {
        return switch (value) {
            case Value.None() -> false;
            case Value.Bool(boolean flag) -> flag;
            case Value.Int(long number) -> number != 0;
            case Value.Real(double number) -> number != 0;
            case Text text -> !text.isEmpty();
            case Value.Sequence(List<Value> items, boolean _) -> !items.isEmpty();
            case Value.Mapping(Map<Value, Value> entries) -> !entries.isEmpty();
            case Value.Undefined _ -> false;
            case Value.Namespace _, Value.Callable _, Loop _ -> true;
        };
    }

    static boolean equal(Value left, Value right) {
        if (isNumber(left) && isNumber(right)) {
            return number(left, right) == 0;
        }
        return switch (left) {
            case Value.Sequence(List<Value> items, boolean tuple) ->
                right instanceof Value.Sequence(List<Value> others, boolean otherTuple)
                        && tuple == otherTuple
                        && equal(items, others);
            case Value.Mapping(Map<Value, Value> entries) ->
                right instanceof Value.Mapping(Map<Value, Value> others)
                        && entries.size() == others.size()
                        && entries.entrySet().stream()
                                .allMatch(entry -> others.containsKey(entry.getKey())
                                        && equal(entry.getValue(), others.get(entry.getKey())));
            case Value.Undefined _ -> right instanceof Value.Undefined;
            case Value.None() -> right instanceof Value.None;
            case Text text -> text.equals(right);
            case Value.Bool _, Value.Int _, Value.Real _ -> false;
            case Value.Namespace _, Value.Callable _, Loop _ -> left.equals(right);
        };
    }

    private static boolean equal(List<Value> left, List<Value> right) {
        if (left.size() != right.size()) {
            return false;
        }
        Iterator<Value> others = right.iterator();
        return left.stream().allMatch(item -> equal(item, others.next()));
    }

    static boolean isNumber(Value value) {
        return value instanceof Value.Int || value instanceof Value.Real || value instanceof Value.Bool;
    }

    private static boolean isWhole(Value value) {
        return value instanceof Value.Int || value instanceof Value.Bool;
    }

    /// Less, equal or greater; NaN is neither and counts as greater.
    private static int number(Value left, Value right) {
        if (isWhole(left) && isWhole(right)) {
            return Long.compare(whole(left), whole(right));
        }
        double one = real(left);
        double other = real(right);
        return one < other ? -1 : one == other ? 0 : 1;
    }

    /// @throws TemplateException if Python does not order the two
    static int compare(Value left, Value right, String operator) {
        if (isNumber(left) && isNumber(right)) {
            return number(left, right);
        }
        if (left instanceof Text one && right instanceof Text other) {
            return compareCodePoints(one.chars(), other.chars());
        }
        if (left instanceof Value.Sequence(List<Value> items, boolean tuple)
                && right instanceof Value.Sequence(List<Value> others, boolean otherTuple)
                && tuple == otherTuple) {
            for (int index = 0; index < Math.min(items.size(), others.size()); index++) {
                if (!equal(items.get(index), others.get(index))) {
                    return compare(items.get(index), others.get(index), operator);
                }
            }
            return Integer.compare(items.size(), others.size());
        }
        refuseUndefined(left);
        refuseUndefined(right);
        throw new TemplateException(
                "'%s' not supported between instances of '%s' and '%s'", operator, type(left), type(right));
    }

    /// By code points, not by UTF-16 units as [String#compareTo] does.
    private static int compareCodePoints(String left, String right) {
        for (int index = 0; index < Math.min(left.length(), right.length()); index++) {
            char one = left.charAt(index);
            char other = right.charAt(index);
            if (one != other) {
                boolean surrogates = Character.isSurrogate(one) != Character.isSurrogate(other);
                return surrogates ? (Character.isSurrogate(one) ? 1 : -1) : Character.compare(one, other);
            }
        }
        return Integer.compare(left.length(), right.length());
    }

    static boolean contains(Value container, Value item) {
        return switch (container) {
            case Text text -> {
                if (!(item instanceof Text part)) {
                    refuseUndefined(item);
                    throw new TemplateException("'in <string>' requires string as left operand, not %s", type(item));
                }
                yield text.chars().contains(part.chars());
            }
            case Value.Mapping(Map<Value, Value> entries) -> entries.containsKey(item);
            case Value.Sequence(List<Value> items, boolean _) -> items.stream().anyMatch(other -> equal(other, item));
            case Value.Undefined _ -> false;
            case Value.None _, Value.Bool _, Value.Int _, Value.Real _, Value.Namespace _, Value.Callable _, Loop _ ->
                throw notIterable(container, "argument of type '%s' is not iterable");
        };
    }

    /// @return the items that a loop over the value meets
    static List<Value> iterate(Value value) {
        return switch (value) {
            case Value.Sequence(List<Value> items, boolean _) -> items;
            case Value.Mapping(Map<Value, Value> entries) -> new ArrayList<>(entries.keySet());
            case Text text -> text.letters();
            case Value.Undefined _ -> List.of();
            case Value.None _, Value.Bool _, Value.Int _, Value.Real _, Value.Namespace _, Value.Callable _, Loop _ ->
                throw notIterable(value, "'%s' object is not iterable");
        };
    }

    static boolean isIterable(Value value) {
        return value instanceof Value.Sequence
                || value instanceof Value.Mapping
                || value instanceof Text
                || value instanceof Value.Undefined;
    }

    private static TemplateException notIterable(Value value, String format) {
        return new TemplateException("%s", format.replace("%s", type(value)));
    }

    static long length(Value value) {
        return switch (value) {
            case Text text -> text.count();
            case Value.Sequence(List<Value> items, boolean _) -> items.size();
            case Value.Mapping(Map<Value, Value> entries) -> entries.size();
            case Value.Undefined _ -> 0;
            case Value.None _, Value.Bool _, Value.Int _, Value.Real _, Value.Namespace _, Value.Callable _, Loop _ ->
                throw notIterable(value, "object of type '%s' has no len()");
        };
    }

    static Value arithmetic(String operator, Value left, Value right) {
        if (isNumber(left) && isNumber(right)) {
            return Numbers.arithmetic(operator, left, right);
        }
        refuseUndefined(left);
        refuseUndefined(right);
        if (operator.equals("+")) {
            if (left instanceof Text one && right instanceof Text other) {
                return one.plus(other);
            }
            if (left instanceof Text) {
                throw new TemplateException("can only concatenate str (not \"%s\") to str", type(right));
            }
            if (left instanceof Value.Sequence(List<Value> items, boolean tuple)
                    && right instanceof Value.Sequence(List<Value> others, boolean otherTuple)
                    && tuple == otherTuple) {
                List<Value> both = new ArrayList<>(items);
                both.addAll(others);
                return new Value.Sequence(both, tuple);
            }
        }
        if (operator.equals("*") && isWhole(right)) {
            return repeat(left, whole(right));
        }
        if (operator.equals("*") && isWhole(left)) {
            return repeat(right, whole(left));
        }
        if (operator.equals("%") && left instanceof Text format) {
            return TextFormat.percent(format, right);
        }
        throw new TemplateException(
                "unsupported operand type(s) for %s: '%s' and '%s'", operator, type(left), type(right));
    }

    private static Value repeat(Value value, long times) {
        int count = Math.clamp(times, 0, Integer.MAX_VALUE);
        return switch (value) {
            case Text text -> {
                Text.checkLength((long) count * text.length());
                Text.Builder out = new Text.Builder();
                for (int index = 0; index < count && !text.isEmpty(); index++) {
                    out.append(text);
                }
                yield out.build();
            }
            case Value.Sequence(List<Value> items, boolean tuple) -> {
                Text.checkLength((long) count * items.size());
                List<Value> repeated = new ArrayList<>();
                for (int index = 0; index < count && !items.isEmpty(); index++) {
                    repeated.addAll(items);
                }
                yield new Value.Sequence(repeated, tuple);
            }
            default -> throw new TemplateException("unsupported operand type(s) for *: '%s' and 'int'", type(value));
        };
    }

    static void refuseUndefined(Value value) {
        if (value instanceof Value.Undefined(String message)) {
            throw new TemplateException("%s", message);
        }
    }

    /// @param callee asks for it
    static long integer(Value value, String callee) {
        if (!isWhole(value)) {
            refuseUndefined(value);
            throw new TemplateException("%s needs an integer, not '%s'", callee, type(value));
        }
        return whole(value);
    }

    static long whole(Value value) {
        return value instanceof Value.Bool(boolean flag) ? (flag ? 1 : 0) : ((Value.Int) value).value();
    }

    static double real(Value value) {
        return value instanceof Value.Real(double number) ? number : whole(value);
    }

    /// Python's name of the value's type.
    static String type(Value value) {
        return switch (value) {
            case Value.None _ -> "NoneType";
            case Value.Bool _ -> "bool";
            case Value.Int _ -> "int";
            case Value.Real _ -> "float";
            case Text _ -> "str";
            case Value.Sequence(List<Value> _, boolean tuple) -> tuple ? "tuple" : "list";
            case Value.Mapping _ -> "dict";
            case Value.Undefined _ -> "Undefined";
            case Value.Namespace _ -> "Namespace";
            case Value.Callable _ -> "function";
            case Loop _ -> "LoopContext";
        };
    }
}
