package io.penstock.model.template;

import java.util.LinkedHashMap;
import java.util.List;
import java.util.Map;

/// What an expression yields: Python's values, as far as templates know them.
sealed interface Value
        permits Text,
                Value.None,
                Value.Bool,
                Value.Int,
                Value.Real,
                Value.Sequence,
                Value.Mapping,
                Value.Undefined,
                Value.Namespace,
                Value.Callable,
                Loop {
    /// Python's None.
    record None() implements Value {}

    record Bool(boolean value) implements Value {}

    record Int(long value) implements Value {}

    record Real(double value) implements Value {}

    /// A list, or a tuple where `tuple`. Not changed once it is made.
    record Sequence(List<Value> items, boolean tuple) implements Value {
        public Sequence {
            items = items instanceof Weighed.Items ? items : new Weighed.Items(items);
        }
    }

    /// A dict, in order. Not changed once it is made.
    record Mapping(Map<Value, Value> entries) implements Value {
        public Mapping {
            entries = entries instanceof Weighed.Entries ? entries : new Weighed.Entries(entries);
        }

        /// @return null if there is none
        Value get(String key) {
            return entries.get(Text.own(key));
        }
    }

    /// What is not there. It prints as nothing; most other uses fail with its message.
    ///
    /// @param message says what was looked for, and where
    record Undefined(String message) implements Value {}

    /// `namespace(…)`, the one value that templates change.
    record Namespace(Map<String, Value> attributes) implements Value {
        // By identity, as in Python; and it may hold itself.
        @Override
        public boolean equals(Object other) {
            return this == other;
        }

        @Override
        public int hashCode() {
            return System.identityHashCode(this);
        }
    }

    /// A function, a macro or a bound method.
    record Callable(String name, Body body) implements Value {}

    /// What a [Callable] does.
    @FunctionalInterface
    interface Body {
        Value call(Arguments arguments);
    }

    None NONE = new None();
    Bool TRUE = new Bool(true);
    Bool FALSE = new Bool(false);

    static Bool of(boolean value) {
        return value ? TRUE : FALSE;
    }

    static Int of(long value) {
        return new Int(value);
    }

    static Sequence list(List<? extends Value> items) {
        return new Sequence(List.copyOf(items), false);
    }

    static Sequence tuple(Value... items) {
        return new Sequence(List.of(items), true);
    }

    /// Nesting that a request may have.
    int DEEPEST = 200;

    /// @param own whether the template's makers wrote it, or a request brought it
    static Value of(Object object, boolean own) {
        return of(object, own, 0);
    }

    private static Value of(Object object, boolean own, int depth) {
        if (depth > DEEPEST) {
            throw new TemplateException("values nested more than %d deep", DEEPEST);
        }
        return switch (object) {
            case null -> NONE;
            case Value value -> value;
            case Boolean flag -> of(flag.booleanValue());
            case String chars -> own ? Text.own(chars) : Text.foreign(chars);
            case Double number -> new Real(number);
            case Float number -> new Real(number);
            case java.math.BigDecimal number -> new Real(number.doubleValue());
            case java.math.BigInteger number when number.bitLength() > 63 -> new Real(number.doubleValue());
            case Number number -> new Int(number.longValue());
            case Map<?, ?> map -> {
                Map<Value, Value> entries = LinkedHashMap.newLinkedHashMap(map.size());
                map.forEach((key, value) -> entries.put(of(key, own, depth + 1), of(value, own, depth + 1)));
                yield new Mapping(entries);
            }
            case Iterable<?> items -> {
                java.util.ArrayList<Value> values = new java.util.ArrayList<>();
                items.forEach(item -> values.add(of(item, own, depth + 1)));
                yield new Sequence(values, false);
            }
            default -> throw new TemplateException("a value of %s is none that templates know", object.getClass());
        };
    }
}
