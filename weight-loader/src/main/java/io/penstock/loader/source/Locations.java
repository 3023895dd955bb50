package io.penstock.loader.source;

import io.penstock.loader.wire.WireRequest;
import io.penstock.model.ErrorCategory;
import io.penstock.model.PenstockException;
import java.net.URI;
import java.net.http.HttpHeaders;
import java.net.http.HttpRequest;
import java.time.Duration;
import java.util.Map;
import java.util.concurrent.ConcurrentHashMap;
import java.util.function.Function;

/// Where the files of a source are in the end: redirects are followed step by step, each checked by [RedirectRule].
final class Locations {
    /// Asked again after this, because such addresses expire.
    private static final Duration LIFE = Duration.ofMinutes(1);
    private static final int MAX_REDIRECTS = 5;

    private final RemoteHttp http;
    private final RedirectRule redirects;
    private final Function<URI, HttpRequest.Builder> requests;
    private final Map<URI, Located> known = new ConcurrentHashMap<>();

    /// @param headers of the last answer
    /// @param until on the monotonic clock
    record Located(URI uri, HttpHeaders headers, long until) {}

    /// @param requests begins a request to an address, with what that may see of our credentials
    Locations(RemoteHttp http, RedirectRule redirects, Function<URI, HttpRequest.Builder> requests) {
        this.http = http;
        this.redirects = redirects;
        this.requests = requests;
    }

    /// @throws PenstockException UNAVAILABLE where it leads to an address that is not allowed
    Located locate(URI address) {
        Located before = known.get(address);
        if (before != null && before.until() - System.nanoTime() > 0) {
            return before;
        }
        URI current = address;
        for (int i = 0; i < MAX_REDIRECTS; i++) {
            URI asked = current;
            RemoteHttp.Head answer = http.head(
                    asked.getHost() + asked.getPath(),
                    () -> request(asked, requests.apply(asked).HEAD()));
            if (answer.status() < 300) {
                Located found = new Located(asked, answer.headers(), System.nanoTime() + LIFE.toNanos());
                known.put(address, found);
                return found;
            }
            String location = answer.headers()
                    .firstValue("location")
                    .orElseThrow(() -> new PenstockException(
                            ErrorCategory.UNAVAILABLE, "%s: %d without a location", asked, answer.status()));
            current = redirects.check(asked, location);
        }
        throw new PenstockException(ErrorCategory.UNAVAILABLE, "%s: more than %d redirects", address, MAX_REDIRECTS);
    }

    /// @param more adds to the request
    /// @return a GET of a part of what is at the address
    WireRequest range(URI address, long offset, long length, Function<HttpRequest.Builder, HttpRequest.Builder> more) {
        URI there = locate(address).uri();
        return request(
                there,
                more.apply(requests.apply(there).header("range", "bytes=" + offset + "-" + (offset + length - 1))));
    }

    private WireRequest request(URI uri, HttpRequest.Builder request) {
        return WireRequest.unsigned(request.build(), redirects.reach(uri));
    }
}
