package io.penstock.loader.wire;

import java.net.InetAddress;
import java.net.UnknownHostException;

/// Finds the addresses of hosts.
@FunctionalInterface
public interface Names {
    /// What the system's resolver says.
    Names OF_THE_SYSTEM = InetAddress::getAllByName;

    /// @return at least one
    InetAddress[] addresses(String host) throws UnknownHostException;
}
