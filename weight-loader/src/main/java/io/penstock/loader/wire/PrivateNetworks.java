package io.penstock.loader.wire;

import java.net.InetAddress;

/// Addresses that only mean something near by: this machine, the cluster, the cloud's metadata service. What is not
/// meant for the public network at all counts as well.
///
/// Source: IANA's registries of special-purpose addresses for IPv4 and IPv6 (RFC 6890), and RFC 6052, 8215, 2765 and
/// 3056 for
/// the forms of IPv6 that carry an address of IPv4.
final class PrivateNetworks {
    private static final int IPV4_BYTES = 4;

    private PrivateNetworks() {}

    static boolean contains(InetAddress address) {
        byte[] bytes = address.getAddress();
        if (address.isLoopbackAddress()
                || address.isAnyLocalAddress()
                || address.isLinkLocalAddress()
                || address.isSiteLocalAddress()
                || address.isMulticastAddress()) {
            return true;
        }
        if (bytes.length == IPV4_BYTES) {
            return isSpecial(bytes, 0);
        }
        boolean uniqueLocal = (bytes[0] & 0xFE) == 0xFC;
        boolean sixToFour = group(bytes, 0) == 0x2002;
        boolean translation = group(bytes, 0) == 0x64 && group(bytes, 1) == 0xFF9B;
        // RFC 8215: each network's own translation.
        boolean localTranslation = translation && group(bytes, 2) == 1;
        boolean compatible = isZero(bytes, 12);
        boolean stateless = isZero(bytes, 8) && group(bytes, 4) == 0xFFFF && group(bytes, 5) == 0;
        boolean teredo = group(bytes, 0) == 0x2001 && group(bytes, 1) == 0;
        return uniqueLocal
                // A tunnel whose end says what is behind it only to its own protocol.
                || teredo
                || localTranslation
                || (sixToFour && isSpecial(bytes, 2))
                || ((translation || stateless || compatible) && isSpecial(bytes, 12));
    }

    private static int group(byte[] bytes, int index) {
        return (bytes[2 * index] & 0xFF) << 8 | (bytes[2 * index + 1] & 0xFF);
    }

    private static boolean isZero(byte[] bytes, int count) {
        for (int i = 0; i < count; i++) {
            if (bytes[i] != 0) {
                return false;
            }
        }
        return true;
    }

    /// @param at where the four bytes begin
    private static boolean isSpecial(byte[] bytes, int at) {
        int first = bytes[at] & 0xFF;
        int second = bytes[at + 1] & 0xFF;
        int third = bytes[at + 2] & 0xFF;
        return switch (first) {
            case 0, 10, 127 -> true;
            // Shared by carriers' customers; some clouds' metadata services are here.
            case 100 -> second >= 64 && second < 128;
            case 169 -> second == 254;
            case 172 -> second >= 16 && second < 32;
            case 192 -> second == 168 || (second == 0 && third == 0);
            case 198 -> second == 18 || second == 19;
            default -> first >= 224;
        };
    }
}
