package io.penstock.model.template;

import java.util.List;

/// The `loop` variable of one run through a `for`.
final class Loop implements Value {
    private final List<Value> items;
    private int index = -1;
    private Value lastChecked;

    Loop(List<Value> items) {
        this.items = items;
    }

    /// @return whether there was another item, which then is the current one
    boolean advance() {
        return ++index < items.size();
    }

    Value current() {
        return items.get(index);
    }

    Value attribute(String name) {
        return switch (name) {
            case "index" -> Value.of(index + 1L);
            case "index0" -> Value.of((long) index);
            case "revindex" -> Value.of((long) items.size() - index);
            case "revindex0" -> Value.of(items.size() - index - 1L);
            case "first" -> Value.of(index == 0);
            case "last" -> Value.of(index == items.size() - 1);
            case "length" -> Value.of((long) items.size());
            // Counts recursion, not nesting, and loops here do not recur.
            case "depth" -> Value.of(1);
            case "depth0" -> Value.of(0);
            case "previtem" -> index == 0 ? new Undefined("there is no previous item") : items.get(index - 1);
            case "nextitem" ->
                index + 1 == items.size() ? new Undefined("there is no next item") : items.get(index + 1);
            case "cycle" -> new Callable("cycle", this::cycle);
            case "changed" -> new Callable("changed", this::changed);
            default -> new Undefined("'loop' has no attribute '" + name + "'");
        };
    }

    private Value cycle(Arguments arguments) {
        if (arguments.positional().isEmpty()) {
            throw new TemplateException("no items for cycling given");
        }
        return arguments.positional().get(index % arguments.positional().size());
    }

    private Value changed(Arguments arguments) {
        Value now = new Sequence(arguments.positional(), true);
        boolean changed = lastChecked == null || !Operators.equal(lastChecked, now);
        lastChecked = now;
        return Value.of(changed);
    }
}
