package io.penstock.emulator;

import io.vertx.core.MultiMap;
import io.vertx.core.json.JsonArray;
import io.vertx.core.json.JsonObject;
import java.util.NavigableMap;
import java.util.Set;

/// ListObjects: names in order, from `start`, with a prefix, folded at a delimiter, in pages.
final class Listing {
    private static final int MAX_LIMIT = 1000;
    private static final Set<String> FIELDS =
            Set.of("name", "size", "etag", "md5", "timeCreated", "timeModified", "storageTier");

    private Listing() {}

    /// @param objects of the bucket, by name
    /// @param query the request's parameters
    static JsonObject list(NavigableMap<String, StoredObject> objects, MultiMap query) {
        String prefix = query.contains("prefix") ? query.get("prefix") : "";
        String start = query.contains("start") ? query.get("start") : "";
        String end = query.get("end");
        String delimiter = query.get("delimiter");
        if (delimiter != null && !delimiter.equals("/")) {
            throw ServiceException.invalid("the only delimiter is '/'");
        }
        Set<String> fields = fields(query.get("fields"));
        int limit = limit(query.get("limit"));
        JsonArray found = new JsonArray();
        JsonArray prefixes = new JsonArray();
        JsonObject page = new JsonObject().put("objects", found).put("prefixes", prefixes);
        String from = prefix.compareTo(start) > 0 ? prefix : start;
        for (StoredObject object : objects.tailMap(from, true).values()) {
            String name = object.name();
            if (!name.startsWith(prefix) || (end != null && name.compareTo(end) >= 0)) {
                break;
            }
            int cut = delimiter == null ? -1 : name.indexOf(delimiter, prefix.length());
            String folded = cut < 0 ? null : name.substring(0, cut + 1);
            if (folded != null && prefixes.contains(folded)) {
                continue;
            }
            if (found.size() + prefixes.size() == limit) {
                return page.put("nextStartWith", name);
            }
            if (folded == null) {
                found.add(entry(object, fields));
            } else {
                prefixes.add(folded);
            }
        }
        return page;
    }

    private static JsonObject entry(StoredObject object, Set<String> fields) {
        JsonObject entry = new JsonObject().put("name", object.name());
        for (String field : fields) {
            switch (field) {
                case "size" -> entry.put(field, object.size());
                case "etag" -> entry.put(field, object.etag());
                case "md5" -> entry.put(field, object.md5());
                case "timeCreated", "timeModified" -> entry.put(field, object.created());
                case "storageTier" -> entry.put(field, "Standard");
                default -> {}
            }
        }
        return entry;
    }

    private static Set<String> fields(String text) {
        Set<String> fields = text == null ? Set.of("name") : Set.of(text.split(","));
        if (!FIELDS.containsAll(fields)) {
            throw ServiceException.invalid("fields are " + FIELDS + ", not " + fields);
        }
        return fields;
    }

    private static int limit(String text) {
        if (text == null) {
            return MAX_LIMIT;
        }
        if (!text.matches("\\d{1,4}") || Integer.parseInt(text) < 1 || Integer.parseInt(text) > MAX_LIMIT) {
            throw ServiceException.invalid("limit is from 1 to " + MAX_LIMIT + ", not " + text);
        }
        return Integer.parseInt(text);
    }
}
