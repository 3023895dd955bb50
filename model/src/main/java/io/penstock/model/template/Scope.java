package io.penstock.model.template;

import java.util.HashMap;
import java.util.Map;

/// Names and their values, in a body and the bodies around it. Assignments stay in the innermost.
final class Scope {
    private final Scope outer;
    private final Map<String, Value> values = new HashMap<>();

    /// @param outer null for the outermost
    Scope(Scope outer) {
        this.outer = outer;
    }

    Value get(String name) {
        for (Scope scope = this; scope != null; scope = scope.outer) {
            Value value = scope.values.get(name);
            if (value != null) {
                return value;
            }
        }
        return new Value.Undefined("'" + name + "' is undefined");
    }

    void set(String name, Value value) {
        values.put(name, value);
    }
}
