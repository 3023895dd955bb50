package io.penstock.gateway.openai;

import com.fasterxml.jackson.databind.JsonNode;
import io.penstock.gateway.chat.Json;
import io.penstock.gateway.chat.RequestException;
import java.util.ArrayList;
import java.util.LinkedHashMap;
import java.util.List;
import java.util.Map;
import java.util.Optional;
import java.util.OptionalDouble;
import java.util.OptionalInt;
import java.util.OptionalLong;

/// The fields of one JSON object, by name, type and range. A field that is null is one that is not there; a field that
/// nobody asks for is ignored. Every complaint names the field.
final class Fields {
    private final JsonNode object;
    /// Before the names of these fields, in complaints: `messages[3].`, or nothing.
    private final String prefix;

    /// @param path of the object in the request; empty: it is the request
    Fields(JsonNode object, String path) {
        if (!object.isObject()) {
            throw path.isEmpty()
                    ? RequestException.bad(null, "The body must be a JSON object.")
                    : RequestException.bad(path, "`%s` must be an object.", path);
        }
        this.object = object;
        this.prefix = path.isEmpty() ? "" : path + ".";
    }

    String path(String name) {
        return prefix + name;
    }

    Optional<JsonNode> any(String name) {
        JsonNode value = object.get(name);
        return value == null || value.isNull() ? Optional.empty() : Optional.of(value);
    }

    Optional<String> text(String name) {
        return any(name).map(value -> Json.text(value, path(name)));
    }

    String requiredText(String name) {
        return text(name).orElseThrow(() -> RequestException.bad(path(name), "`%s` is missing.", path(name)));
    }

    boolean flag(String name) {
        return any(name)
                .map(value -> {
                    if (!value.isBoolean()) {
                        throw wrongType(name, "true or false");
                    }
                    return value.booleanValue();
                })
                .orElse(false);
    }

    // The comparison fails for NaN.
    OptionalDouble number(String name, double least, double most) {
        Optional<JsonNode> value = any(name);
        if (value.isEmpty()) {
            return OptionalDouble.empty();
        }
        if (!value.get().isNumber()) {
            throw wrongType(name, "a number");
        }
        double number = value.get().doubleValue();
        if (!(number >= least && number <= most)) {
            throw RequestException.bad(
                    path(name), "`%s` is %s, must lie in [%s, %s].", path(name), number, bound(least), bound(most));
        }
        return OptionalDouble.of(number);
    }

    OptionalInt integer(String name, int least, int most) {
        OptionalLong value = longInteger(name, least, most);
        return value.isPresent() ? OptionalInt.of((int) value.getAsLong()) : OptionalInt.empty();
    }

    OptionalLong longInteger(String name, long least, long most) {
        Optional<JsonNode> value = any(name);
        if (value.isEmpty()) {
            return OptionalLong.empty();
        }
        JsonNode node = value.get();
        boolean whole = node.isIntegralNumber()
                || (node.isNumber() && node.doubleValue() == Math.rint(node.doubleValue()) && !node.isBigDecimal());
        if (!whole) {
            throw wrongType(name, "an integer");
        }
        if (!node.canConvertToLong() || node.longValue() < least || node.longValue() > most) {
            throw RequestException.bad(
                    path(name), "`%s` is %s, must lie in [%d, %d].", path(name), node.asText(), least, most);
        }
        return OptionalLong.of(node.longValue());
    }

    /// @param most elements
    List<JsonNode> list(String name, int most) {
        Optional<JsonNode> value = any(name);
        if (value.isEmpty()) {
            return List.of();
        }
        if (!value.get().isArray()) {
            throw wrongType(name, "an array");
        }
        if (value.get().size() > most) {
            throw RequestException.bad(
                    path(name),
                    "`%s` has %d elements, at most %d are allowed.",
                    path(name),
                    value.get().size(),
                    most);
        }
        List<JsonNode> elements = new ArrayList<>(value.get().size());
        value.get().forEach(elements::add);
        return elements;
    }

    /// @return empty if there is no such field
    Optional<Fields> object(String name) {
        return any(name).map(value -> new Fields(value, path(name)));
    }

    Map<String, JsonNode> entries(String name, int most) {
        Optional<JsonNode> value = any(name);
        if (value.isEmpty()) {
            return Map.of();
        }
        if (!value.get().isObject()) {
            throw wrongType(name, "an object");
        }
        if (value.get().size() > most) {
            throw RequestException.bad(
                    path(name),
                    "`%s` has %d entries, at most %d are allowed.",
                    path(name),
                    value.get().size(),
                    most);
        }
        Map<String, JsonNode> entries = new LinkedHashMap<>();
        value.get().properties().forEach(entry -> entries.put(entry.getKey(), entry.getValue()));
        return entries;
    }

    RequestException wrongType(String name, String wanted) {
        return RequestException.bad(path(name), "`%s` must be %s.", path(name), wanted);
    }

    private static String bound(double bound) {
        return bound == Math.rint(bound) ? Long.toString((long) bound) : Double.toString(bound);
    }
}
