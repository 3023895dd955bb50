package io.penstock.shard.backend.cuda;

import com.fasterxml.jackson.core.JsonProcessingException;
import com.fasterxml.jackson.databind.ObjectMapper;
import java.util.LinkedHashMap;
import java.util.Map;

/// One measured number as a line of its own: `FIGURE` and a JSON object, for `bench/gpu/table.py`
/// to join with what others measured of the same row.
final class Figure {
    /// Lines of a program's output that are figures begin so.
    static final String MARK = "FIGURE ";

    private static final ObjectMapper JSON = new ObjectMapper();

    private final Map<String, Object> fields = new LinkedHashMap<>();

    private Figure(String row, double value, String unit) {
        if (!Double.isFinite(value)) {
            throw new IllegalArgumentException("%s of %s %s".formatted(row, value, unit));
        }
        fields.put("engine", "penstock");
        fields.put("row", row);
        fields.put("value", value);
        fields.put("unit", unit);
    }

    /// @param row what table.py knows it by
    /// @param unit `ms`, `s`, `tok/s`, `GB/s`, `TB/s` or `TFLOP/s`
    static Figure of(String row, double value, String unit) {
        return new Figure(row, value, unit);
    }

    /// Says more of it: `format`, `batch`, `context`, `tokens`; `weights` and `kv`, bytes that a
    /// step reads; `flops`.
    Figure with(String field, Object value) {
        if (fields.put(field, value) != null) {
            throw new IllegalArgumentException(field + " is said twice");
        }
        return this;
    }

    String line() {
        try {
            return MARK + JSON.writeValueAsString(fields);
        } catch (JsonProcessingException e) {
            throw new IllegalArgumentException(e);
        }
    }

    void print() {
        System.out.println(line());
        System.out.flush();
    }
}
