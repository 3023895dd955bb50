package io.penstock.model.template;

import java.util.ArrayList;
import java.util.List;
import java.util.Map;
import java.util.Set;

/// What `object.name` and `object[key]` find: Python's methods and items, of those types alone that templates know.
/// Methods that would change a list or dict are not there, as in the sandbox of jinja2.
final class Attributes {
    private static final Set<String> CHANGING = Set.of(
            "append",
            "clear",
            "extend",
            "insert",
            "pop",
            "popitem",
            "remove",
            "reverse",
            "setdefault",
            "sort",
            "update");

    private Attributes() {}

    static Value attribute(Value object, String name) {
        Value found = method(object, name);
        if (found == null && object instanceof Value.Mapping map) {
            found = map.get(name);
        }
        return found == null ? missing(object, name) : found;
    }

    static Value item(Value object, Value key) {
        Operators.refuseUndefined(object);
        Value found = null;
        if (object instanceof Value.Mapping(Map<Value, Value> entries)) {
            found = entries.get(key);
        } else if (key instanceof Value.Int(long index)) {
            found = Slices.at(object, index);
        } else if (key instanceof Value.Bool(boolean flag)) {
            found = Slices.at(object, flag ? 1 : 0);
        }
        if (found == null && key instanceof Text name) {
            found = method(object, name.chars());
        }
        if (found != null) {
            return found;
        }
        return key instanceof Text name
                ? missing(object, name.chars())
                : new Value.Undefined(described(object) + " has no element " + Spelling.represented(key));
    }

    private static Value.Undefined missing(Value object, String name) {
        Operators.refuseUndefined(object);
        if (CHANGING.contains(name) && (object instanceof Value.Sequence || object instanceof Value.Mapping)) {
            return new Value.Undefined(
                    "access to attribute '" + name + "' of '" + Operators.type(object) + "' object is unsafe.");
        }
        return new Value.Undefined("'" + described(object) + "' has no attribute '" + name + "'");
    }

    private static String described(Value object) {
        return object instanceof Value.None ? "None" : Operators.type(object) + " object";
    }

    private static Value method(Value object, String name) {
        return switch (object) {
            case Text text -> TextMethods.find(text, name).orElse(null);
            case Value.Mapping(Map<Value, Value> entries) -> mapMethod(entries, name);
            case Value.Sequence(List<Value> items, boolean _) -> listMethod(items, name);
            case Value.Namespace(Map<String, Value> attributes) -> attributes.get(name);
            case Loop loop -> loop.attribute(name);
            case Value.Callable(String own, Value.Body _) -> name.equals("name") ? Text.own(own) : null;
            case Value.None _, Value.Bool _, Value.Int _, Value.Real _, Value.Undefined _ -> null;
        };
    }

    private static Value mapMethod(Map<Value, Value> entries, String name) {
        return switch (name) {
            case "get" ->
                new Value.Callable("get", given -> {
                    Value value = entries.get(given.required("get", 0, "key"));
                    return value == null ? given.get(1, "default", Value.NONE) : value;
                });
            case "keys" -> new Value.Callable("keys", _ -> Value.list(new ArrayList<>(entries.keySet())));
            case "values" -> new Value.Callable("values", _ -> Value.list(new ArrayList<>(entries.values())));
            case "items" -> new Value.Callable("items", _ -> items(entries));
            case "copy" -> new Value.Callable("copy", _ -> new Value.Mapping(entries));
            default -> null;
        };
    }

    static Value items(Map<Value, Value> entries) {
        List<Value> pairs = new ArrayList<>();
        entries.forEach((key, value) -> pairs.add(Value.tuple(key, value)));
        return Value.list(pairs);
    }

    private static Value listMethod(List<Value> items, String name) {
        return switch (name) {
            case "index" ->
                new Value.Callable("index", given -> {
                    Value wanted = given.required("index", 0, "value");
                    for (int at = 0; at < items.size(); at++) {
                        if (Operators.equal(items.get(at), wanted)) {
                            return Value.of((long) at);
                        }
                    }
                    throw new TemplateException("%s is not in list", Spelling.represented(wanted));
                });
            case "count" ->
                new Value.Callable("count", given -> {
                    Value wanted = given.required("count", 0, "value");
                    return Value.of(items.stream()
                            .filter(item -> Operators.equal(item, wanted))
                            .count());
                });
            case "copy" -> new Value.Callable("copy", _ -> Value.list(items));
            default -> null;
        };
    }
}
