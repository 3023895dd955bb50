package io.penstock.shard.config;

import io.penstock.model.ErrorCategory;
import io.penstock.model.PenstockException;
import java.util.List;

/// Where a service listens, as `host:port`.
public record Endpoint(String host, int port) {
    /// @param key named in the error
    /// @throws PenstockException (bad input) if it is not `host:port`; an IPv6 address needs brackets
    public static Endpoint parse(String key, String value) {
        int colon = value.lastIndexOf(':');
        String host = colon < 0 ? "" : value.substring(0, colon).strip();
        if (host.startsWith("[") && host.endsWith("]")) {
            host = host.substring(1, host.length() - 1);
        } else if (host.contains(":")) {
            host = "";
        }
        int port = colon < 0 ? -1 : port(value.substring(colon + 1).strip());
        if (host.isEmpty() || port < 1 || port > 65_535) {
            throw new PenstockException(
                    ErrorCategory.BAD_INPUT, "%s is '%s', must be host:port with a port of 1 to 65535", key, value);
        }
        return new Endpoint(host, port);
    }

    public static List<Endpoint> parseAll(String key, List<String> values) {
        return values.stream().map(value -> parse(key, value)).toList();
    }

    private static int port(String digits) {
        return digits.matches("[0-9]{1,5}") ? Integer.parseInt(digits) : -1;
    }

    @Override
    public String toString() {
        return (host.contains(":") ? "[" + host + "]" : host) + ":" + port;
    }
}
