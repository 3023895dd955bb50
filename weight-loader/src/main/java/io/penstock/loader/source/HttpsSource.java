package io.penstock.loader.source;

import io.penstock.loader.verify.Checksum;
import io.penstock.model.ErrorCategory;
import io.penstock.model.PenstockException;
import java.net.URI;
import java.net.http.HttpHeaders;
import java.net.http.HttpRequest;
import java.util.List;
import java.util.Locale;
import java.util.Optional;

/// One file at an address, whose SHA-256 the configuration knows: the address may be anybody's, the bytes
/// may not.
///
/// Redirects are followed by [Locations]; archives are refused, since nothing here unpacks them.
public final class HttpsSource implements Source {
    private static final List<String> ARCHIVES = List.of(".zip", ".tar", ".gz", ".tgz", ".xz", ".bz2", ".zst", ".7z");

    private final URI address;
    private final Checksum.Sha256 checksum;
    private final FileName name;
    private final Locations locations;

    /// @param address without a fragment
    public HttpsSource(RemoteHttp http, URI address, Checksum.Sha256 checksum) {
        this.address = address;
        this.checksum = checksum;
        this.locations = new Locations(http, new RedirectRule(address, http.ofRedirects()), HttpRequest::newBuilder);
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
        HttpHeaders headers = locations.locate(address).headers();
        String what = address.getHost() + address.getPath();
        long size = headers.firstValueAsLong("content-length")
                .orElseThrow(() ->
                        new PenstockException(ErrorCategory.CORRUPT, "%s: the answer has no Content-Length", what));
        // A weak one says nothing of bytes, and must not be sent with a range.
        Optional<String> etag = headers.firstValue("etag").filter(tag -> !tag.startsWith("W/"));
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
        return new Access.OverHttp((offset, length) -> locations.range(
                address,
                offset,
                length,
                request -> file.etag()
                        .map(etag -> request.header("if-match", etag))
                        .orElse(request)));
    }
}
