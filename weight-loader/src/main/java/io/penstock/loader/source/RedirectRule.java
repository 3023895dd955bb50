package io.penstock.loader.source;

import io.penstock.model.ErrorCategory;
import io.penstock.model.PenstockException;
import java.net.InetAddress;
import java.net.URI;
import java.net.UnknownHostException;

/// Which addresses a source may send us on to.
///
/// A public source must not make this service read a private address (the cloud's metadata service, a
/// neighbour). Where the configured endpoint is itself private, as a mirror in the cluster is, private
/// targets are allowed.
final class RedirectRule {
    private final URI home;

    RedirectRule(URI home) {
        this.home = home;
    }

    /// @return whether the address belongs to the configured endpoint, and so may see our token
    boolean isHome(URI uri) {
        return home.getScheme().equals(uri.getScheme())
                && home.getHost().equalsIgnoreCase(uri.getHost())
                && home.getPort() == uri.getPort();
    }

    /// @param from the address that answered with the redirect
    /// @return the target
    /// @throws PenstockException UNAVAILABLE when it may not be followed
    URI check(URI from, URI target) {
        String scheme = target.getScheme();
        if (target.getHost() == null || target.getRawUserInfo() != null) {
            throw refused(from, target, "it names no plain host");
        }
        if (!"https".equals(scheme) && !("http".equals(scheme) && "http".equals(from.getScheme()))) {
            throw refused(from, target, "its scheme is less than " + from.getScheme());
        }
        if (!isHome(target) && isPrivate(target.getHost()) && !isPrivate(home.getHost())) {
            throw refused(from, target, "it is a private address");
        }
        return target;
    }

    private static boolean isPrivate(String host) {
        try {
            for (InetAddress address : InetAddress.getAllByName(host)) {
                if (PrivateNetworks.contains(address)) {
                    return true;
                }
            }
            return false;
        } catch (UnknownHostException e) {
            throw new PenstockException(ErrorCategory.UNAVAILABLE, e, "host '%s' is not known", host);
        }
    }

    private static PenstockException refused(URI from, URI target, String reason) {
        return new PenstockException(
                ErrorCategory.UNAVAILABLE,
                "%s redirects to %s://%s, which is refused: %s",
                from.getHost(),
                target.getScheme(),
                target.getHost(),
                reason);
    }
}
