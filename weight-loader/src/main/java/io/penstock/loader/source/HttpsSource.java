package io.penstock.loader.source;

import io.penstock.loader.verify.Checksum;
import io.penstock.model.ErrorCategory;
import io.penstock.model.PenstockException;
import java.net.URI;
import java.net.http.HttpHeaders;
import java.net.http.HttpRequest;
import java.net.http.HttpResponse;
import java.time.Duration;
import java.util.List;
import java.util.Locale;
import java.util.Optional;

/// One file at an address, whose SHA-256 the configuration knows: the address may be anybody's, the bytes
/// may not.
///
/// Redirects are followed step by step, each checked by [RedirectRule]; archives are refused, since
/// nothing here unpacks them.
public final class HttpsSource implements Source {
    private static final Duration LOCATION_LIFE = Duration.ofMinutes(1);
    private static final int MAX_REDIRECTS = 5;
    private static final List<String> ARCHIVES = List.of(".zip", ".tar", ".gz", ".tgz", ".xz", ".bz2", ".zst", ".7z");

    private final RemoteHttp http;
    private final URI address;
    private final Checksum.Sha256 checksum;
    private final FileName name;
    private final RedirectRule redirects;
    private volatile Optional<Located> located = Optional.empty();

    private record Located(URI uri, HttpHeaders headers, long until) {}

    /// @param address without a fragment
    public HttpsSource(RemoteHttp http, URI address, Checksum.Sha256 checksum) {
        this.http = http;
        this.address = address;
        this.checksum = checksum;
        this.redirects = new RedirectRule(address);
        String path = address.getPath();
        this.name = new FileName(path.substring(path.lastIndexOf('/') + 1));
        String lower = name.value().toLowerCase(Locale.ROOT);
        if (ARCHIVES.stream().anyMatch(lower::endsWith)) {
            throw new PenstockException(
                    ErrorCategory.BAD_INPUT, "%s is an archive; name the file that is in it", address);
        }
    }

    @Override
    public String kind() {
        return "https";
    }

    @Override
    public Snapshot resolve(String model, String revision) {
        Located there = locate();
        String what = address.getHost() + address.getPath();
        long size = there.headers()
                .firstValueAsLong("content-length")
                .orElseThrow(() ->
                        new PenstockException(ErrorCategory.CORRUPT, "%s: the answer has no Content-Length", what));
        // A weak one says nothing of bytes, and must not be sent with a range.
        Optional<String> etag = there.headers().firstValue("etag").filter(tag -> !tag.startsWith("W/"));
        RemoteFile file = new RemoteFile(name, size, checksum.text(), etag, Optional.of(checksum), Optional.empty());
        String pinned = checksum.hex().substring(0, 40);
        if (!revision.isEmpty() && !revision.equals(pinned)) {
            throw new PenstockException(
                    ErrorCategory.NOT_FOUND, "model '%s': %s is revision %s, not %s", model, what, pinned, revision);
        }
        return new Snapshot(model, pinned, List.of(file));
    }

    @Override
    public Access access(Snapshot snapshot, RemoteFile file) {
        return new Access.OverHttp((offset, length) -> {
            HttpRequest.Builder request = HttpRequest.newBuilder(locate().uri())
                    .header("range", "bytes=" + offset + "-" + (offset + length - 1));
            file.etag().ifPresent(etag -> request.header("if-match", etag));
            return request.build();
        });
    }

    /// Where the file is in the end; asked again after a minute, because such addresses expire.
    private Located locate() {
        Optional<Located> known = located.filter(there -> there.until() - System.nanoTime() > 0);
        if (known.isPresent()) {
            return known.get();
        }
        URI current = address;
        for (int i = 0; i < MAX_REDIRECTS; i++) {
            URI asked = current;
            HttpResponse<byte[]> answer = http.call(
                    asked.getHost() + asked.getPath(),
                    () -> HttpRequest.newBuilder(asked).HEAD().build());
            if (answer.statusCode() < 300) {
                Located there = new Located(asked, answer.headers(), System.nanoTime() + LOCATION_LIFE.toNanos());
                located = Optional.of(there);
                return there;
            }
            String location = answer.headers()
                    .firstValue("location")
                    .orElseThrow(() -> new PenstockException(
                            ErrorCategory.UNAVAILABLE, "%s: %d without a location", asked, answer.statusCode()));
            current = redirects.check(asked, asked.resolve(location));
        }
        throw new PenstockException(ErrorCategory.UNAVAILABLE, "%s: more than %d redirects", address, MAX_REDIRECTS);
    }
}
