package io.penstock.gateway.config;

/// Where a service listens.
///
/// @param host a name or an address; IPv6 without its brackets
/// @param port 1 to 65535
public record HostPort(String host, int port) {
    public HostPort {
        if (host.isEmpty() || port < 1 || port > 65_535) {
            throw new IllegalArgumentException("'%s:%d' is not an address".formatted(host, port));
        }
    }

    /// Called by the configuration.
    ///
    /// @param text `host:port`, `[v6]:port`
    public static HostPort of(String text) {
        int colon = text.lastIndexOf(':');
        if (colon < 1) {
            throw new IllegalArgumentException("'%s' is not host:port".formatted(text));
        }
        String host = text.substring(0, colon);
        if (host.startsWith("[") && host.endsWith("]")) {
            host = host.substring(1, host.length() - 1);
        }
        try {
            return new HostPort(host, Integer.parseInt(text, colon + 1, text.length(), 10));
        } catch (NumberFormatException e) {
            throw new IllegalArgumentException("'%s' is not host:port".formatted(text), e);
        }
    }

    @Override
    public String toString() {
        return (host.indexOf(':') < 0 ? host : "[" + host + "]") + ":" + port;
    }
}
