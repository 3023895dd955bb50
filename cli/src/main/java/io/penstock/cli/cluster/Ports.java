package io.penstock.cli.cluster;

import java.io.IOException;
import java.net.InetAddress;
import java.net.InetSocketAddress;
import java.net.ServerSocket;
import java.util.HashSet;
import java.util.Set;

/// Hands out loopback ports that nothing listens on, each once. The usual one where it is free.
final class Ports {
    private final Set<Integer> taken = new HashSet<>();

    /// @param usual the port people expect, taken if free
    int near(int usual) {
        return !taken.contains(usual) && free(usual) ? take(usual) : any();
    }

    int any() {
        while (true) {
            try (ServerSocket socket = new ServerSocket(0, 1, InetAddress.getLoopbackAddress())) {
                if (!taken.contains(socket.getLocalPort())) {
                    return take(socket.getLocalPort());
                }
            } catch (IOException e) {
                throw new java.io.UncheckedIOException("no free port on loopback", e);
            }
        }
    }

    boolean free(int port) {
        // On all addresses: a service that listens on one of them would be in the way of some client.
        try (ServerSocket socket = new ServerSocket()) {
            socket.setReuseAddress(true);
            socket.bind(new InetSocketAddress(port), 1);
            return true;
        } catch (IOException inUse) {
            return false;
        }
    }

    private int take(int port) {
        taken.add(port);
        return port;
    }
}
