package io.penstock.model.template;

import java.util.HashSet;
import java.util.List;
import java.util.Map;
import java.util.Set;

/// Of a call: by position, then by name.
record Arguments(List<Value> positional, Map<String, Value> named) {
    static final Arguments NONE = new Arguments(List.of(), Map.of());

    static Arguments of(Value... values) {
        return new Arguments(List.of(values), Map.of());
    }

    /// @return null where it was not given
    Value get(int position, String name) {
        if (position >= 0 && position < positional.size()) {
            return positional.get(position);
        }
        return named.get(name);
    }

    Value get(int position, String name, Value otherwise) {
        Value value = get(position, name);
        return value == null ? otherwise : value;
    }

    Value required(String callee, int position, String name) {
        Value value = get(position, name);
        if (value == null) {
            throw new TemplateException("%s() is missing its argument '%s'", callee, name);
        }
        return value;
    }

    boolean flag(int position, String name, boolean otherwise) {
        Value value = get(position, name);
        return value == null ? otherwise : Operators.isTrue(value);
    }

    long integer(String callee, int position, String name, long otherwise) {
        Value value = get(position, name);
        return value == null ? otherwise : Operators.integer(value, callee);
    }

    /// @throws TemplateException if more was given than these names say
    void only(String callee, String... names) {
        Set<String> unknown = new HashSet<>(named.keySet());
        unknown.removeAll(Set.of(names));
        if (!unknown.isEmpty()) {
            throw new TemplateException("%s() got an unexpected argument %s", callee, unknown);
        }
        if (positional.size() > names.length) {
            throw new TemplateException(
                    "%s() takes at most %d arguments, %d were given", callee, names.length, positional.size());
        }
    }

    /// All but the first by position.
    Arguments rest(int first) {
        return new Arguments(positional.subList(Math.min(first, positional.size()), positional.size()), named);
    }
}
