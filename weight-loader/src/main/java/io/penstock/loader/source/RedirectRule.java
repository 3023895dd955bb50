package io.penstock.loader.source;

import io.penstock.loader.wire.Reach;
import io.penstock.model.ErrorCategory;
import io.penstock.model.PenstockException;
import java.net.URI;

/// Where a source may send us on to.
///
/// It must not make this service read a private address (the cloud's metadata service, a neighbour), unless the
/// configuration says that its redirects may lead there, as those of a mirror in the cluster do. What an address is
/// turns
/// out when its name is looked up for a connection: [Reach] goes along with each request until then.
final class RedirectRule {
    private final URI home;
    private final Reach others;

    /// @param home the configured endpoint
    /// @param others how far a redirect to any other place may reach
    RedirectRule(URI home, Reach others) {
        Reach.requireOneMeaning(home.getHost());
        this.home = home;
        this.others = others;
    }

    /// @return whether the address belongs to the configured endpoint, and so may see our token
    boolean isHome(URI uri) {
        return home.getScheme().equals(uri.getScheme())
                && home.getHost().equalsIgnoreCase(uri.getHost())
                && home.getPort() == uri.getPort();
    }

    /// @param uri the endpoint's own, or one that [#check] gave
    Reach reach(URI uri) {
        return isHome(uri) ? Reach.ANYWHERE : others;
    }

    /// @param from the address that answered with the redirect
    /// @param location as that has it
    /// @return the target
    /// @throws PenstockException UNAVAILABLE when it may not be followed
    URI check(URI from, String location) {
        URI target = target(from, location);
        String scheme = target.getScheme();
        if (target.getHost() == null || target.getRawUserInfo() != null) {
            throw refused(from, target, "it names no plain host");
        }
        if (!"https".equals(scheme) && !("http".equals(scheme) && "http".equals(from.getScheme()))) {
            throw refused(from, target, "its scheme is less than " + from.getScheme());
        }
        Reach.requireOneMeaning(target.getHost());
        return target;
    }

    private static URI target(URI from, String location) {
        try {
            return from.resolve(location);
        } catch (IllegalArgumentException e) {
            throw new PenstockException(
                    ErrorCategory.UNAVAILABLE, e, "%s redirects to what is no address", from.getHost());
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
