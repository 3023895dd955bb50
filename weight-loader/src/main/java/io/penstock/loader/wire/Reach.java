package io.penstock.loader.wire;

import io.penstock.model.ErrorCategory;
import io.penstock.model.PenstockException;
import java.net.InetAddress;
import java.net.UnknownHostException;
import java.util.regex.Pattern;

/// Which addresses a request may be sent to.
public enum Reach {
    /// Any: the operator has named the place.
    ANYWHERE,
    /// Those of the public network only: somebody else has named the place, as a redirect does.
    PUBLIC;

    /// Where a C library reads a number whatever its form is: in octal, in hexadecimal, with parts left out.
    private static final Pattern ENDS_IN_A_NUMBER = Pattern.compile("(?i)(.*\\.)?(\\d+|0x[0-9a-f]*)\\.?");

    private static final String BYTE = "(25[0-5]|2[0-4]\\d|1\\d\\d|[1-9]?\\d)";
    private static final Pattern FOUR_BYTES = Pattern.compile(BYTE + "(\\." + BYTE + "){3}");

    /// Has a host looked up, once: who connects takes one of these addresses and asks for no other, so that a name
    /// whose answer changes between the check and the connection gains nothing.
    ///
    /// @param host a name, or an address as URIs have it
    /// @return all its addresses, each one allowed
    /// @throws PenstockException UNAVAILABLE where one of them is not, or the host may be read in two ways
    /// @throws UnknownHostException where nobody knows it
    public InetAddress[] addresses(String host, Names names) throws UnknownHostException {
        requireOneMeaning(host);
        InetAddress[] addresses = names.addresses(host);
        for (InetAddress address : addresses) {
            if (this == PUBLIC && PrivateNetworks.contains(address)) {
                throw new PenstockException(
                        ErrorCategory.UNAVAILABLE,
                        "%s is refused: it is the private address %s, and no configuration names it",
                        host,
                        address.getHostAddress());
            }
        }
        return addresses;
    }

    /// @throws PenstockException UNAVAILABLE for an IPv4 address that is not four plain decimal numbers: programs
    ///     differ in what they read there, as 0177.0.0.1
    public static void requireOneMeaning(String host) {
        if (ENDS_IN_A_NUMBER.matcher(host).matches()
                && !FOUR_BYTES.matcher(host).matches()) {
            throw new PenstockException(
                    ErrorCategory.UNAVAILABLE,
                    "host '%s' is refused: an address is written as four decimal numbers without leading zeros",
                    host);
        }
    }
}
