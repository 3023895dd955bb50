package io.penstock.model.template;

import java.time.Clock;
import java.time.LocalDateTime;
import java.util.ArrayList;
import java.util.LinkedHashMap;
import java.util.List;
import java.util.Map;

/// Functions that every template has: jinja2's own, and those that transformers adds.
final class Globals {
    /// The sandbox's limit on `range`.
    private static final int LONGEST_RANGE = 100_000;

    private Globals() {}

    static void define(Scope scope, Clock clock) {
        function(scope, "range", Globals::range);
        function(scope, "dict", given -> new Value.Mapping(entries(given)));
        function(scope, "namespace", given -> {
            Map<String, Value> attributes = new LinkedHashMap<>();
            entries(given)
                    .forEach((key, value) ->
                            attributes.put(attribute(Spelling.text(key).chars()), value));
            return new Value.Namespace(attributes);
        });
        function(scope, "raise_exception", given -> {
            throw new TemplateException("%s", Spelling.text(given.required("raise_exception", 0, "message")));
        });
        function(scope, "strftime_now", given -> {
            if (!(given.required("strftime_now", 0, "format") instanceof Text format)) {
                throw new TemplateException("strftime_now needs a format");
            }
            return Clocked.format(format, LocalDateTime.now(clock));
        });
        function(scope, "joiner", Globals::joiner);
        function(scope, "cycler", Globals::cycler);
    }

    private static void function(Scope scope, String name, Value.Body body) {
        scope.set(name, new Value.Callable(name, body));
    }

    /// @throws TemplateException if transformers would not store it in a namespace
    static String attribute(String name) {
        if (name.startsWith("_")) {
            throw new TemplateException(
                    "Chat templates cannot store underscore-prefixed attributes on a namespace, but got '%s'.", name);
        }
        return name;
    }

    private static Map<Value, Value> entries(Arguments given) {
        Map<Value, Value> entries = new LinkedHashMap<>();
        if (!given.positional().isEmpty()) {
            Value first = given.positional().getFirst();
            if (first instanceof Value.Mapping(Map<Value, Value> more)) {
                entries.putAll(more);
            } else {
                for (Value pair : Operators.iterate(first)) {
                    List<Value> both = Operators.iterate(pair);
                    if (both.size() != 2) {
                        throw new TemplateException("dict needs pairs, got %d values", both.size());
                    }
                    entries.put(both.getFirst(), both.getLast());
                }
            }
        }
        given.named().forEach((name, value) -> entries.put(Text.own(name), value));
        return entries;
    }

    private static Value range(Arguments given) {
        int count = given.positional().size();
        if (count < 1 || count > 3) {
            throw new TemplateException("range expected 1 to 3 arguments, got %d", count);
        }
        long start = count == 1 ? 0 : given.integer("range", 0, "", 0);
        long stop = given.integer("range", count == 1 ? 0 : 1, "", 0);
        long step = given.integer("range", 2, "", 1);
        if (step == 0) {
            throw new TemplateException("range() arg 3 must not be zero");
        }
        List<Value> numbers = new ArrayList<>();
        for (long number = start; step > 0 ? number < stop : number > stop; number += step) {
            if (numbers.size() == LONGEST_RANGE) {
                throw new TemplateException(
                        "Range too big. The sandbox blocks ranges larger than MAX_RANGE (%d).", LONGEST_RANGE);
            }
            numbers.add(Value.of(number));
        }
        return Value.list(numbers);
    }

    private static Value joiner(Arguments given) {
        Value separator = given.get(0, "sep", Text.own(", "));
        boolean[] used = {false};
        return new Value.Callable("joiner", _ -> {
            Value now = used[0] ? separator : Text.EMPTY;
            used[0] = true;
            return now;
        });
    }

    private static Value cycler(Arguments given) {
        List<Value> items = given.positional();
        if (items.isEmpty()) {
            throw new TemplateException("at least one item has to be provided");
        }
        int[] position = {0};
        Map<String, Value> attributes = new LinkedHashMap<>();
        attributes.put("next", new Value.Callable("next", _ -> {
            Value now = items.get(position[0]);
            position[0] = (position[0] + 1) % items.size();
            return now;
        }));
        attributes.put("reset", new Value.Callable("reset", _ -> {
            position[0] = 0;
            return Value.NONE;
        }));
        return new Value.Namespace(attributes);
    }
}
