package io.penstock.loader.source;

import io.penstock.loader.verify.Checksum;
import io.penstock.loader.verify.Manifest;
import io.penstock.loader.wire.WireRequest;
import io.penstock.model.ErrorCategory;
import io.penstock.model.PenstockException;
import java.lang.System.Logger;
import java.lang.System.Logger.Level;
import java.net.http.HttpHeaders;
import java.net.http.HttpResponse;
import java.util.ArrayList;
import java.util.List;
import java.util.Optional;

/// Objects of a bucket under a prefix, by the API of S3: OCI's compatible endpoint, or any other service that speaks
/// it. Paths name buckets (host names that do are not what OCI likes).
///
/// ETags pin objects. A checksum of the whole is known where the upload asked for CRC32C over it.
public final class S3Source implements Source {
    private static final Logger LOG = System.getLogger(S3Source.class.getName());
    private static final int MAX_PAGES = 20;

    private final RemoteHttp http;
    private final Renewable<S3Account> account;
    private final BucketFolder folder;
    private volatile boolean knowsChecksums = true;

    /// @param account asked for at first use
    /// @param prefix without a slash at its end; empty for the whole bucket
    public S3Source(RemoteHttp http, Renewable<S3Account> account, String bucket, String prefix) {
        this(http, account, BucketFolder.s3(bucket, prefix));
    }

    /// @param folder by S3's API
    public S3Source(RemoteHttp http, Renewable<S3Account> account, BucketFolder folder) {
        this.http = http;
        this.account = account;
        this.folder = folder;
    }

    @Override
    public String kind() {
        return "s3";
    }

    @Override
    public Snapshot resolve(String model, String revision) {
        List<RemoteFile> files = folder.files(
                list(),
                object -> call(folder.place(object.object()), "GET", folder.target(object.object()))
                        .body(),
                this::head);
        return Snapshot.of(model, files, revision, folder.place());
    }

    private HttpResponse<byte[]> call(String what, String method, String target, String... headers) {
        return http.call(what, account, signer -> signer.signed(method, target, headers));
    }

    private List<BucketFolder.Listed> list() {
        List<BucketFolder.Listed> objects = new ArrayList<>();
        Optional<String> next = Optional.empty();
        for (int page = 0; page < MAX_PAGES; page++) {
            String target = folder.target() + "?"
                    + next.map(token -> "continuation-token=" + BucketFolder.encode(token) + "&")
                            .orElse("")
                    + "list-type=2&prefix=" + BucketFolder.encode(folder.prefix());
            next = read(call("list " + folder.place(), "GET", target).body(), objects);
            if (next.isEmpty()) {
                return objects;
            }
        }
        throw new PenstockException(
                ErrorCategory.BAD_INPUT,
                "%s holds over %d pages of objects below '%s'",
                folder.place(),
                MAX_PAGES,
                folder.prefix());
    }

    /// @return the token of the next page
    private Optional<String> read(byte[] xml, List<BucketFolder.Listed> objects) {
        S3Answer answer = S3Answer.parse("list " + folder.place(), xml);
        answer.groups("Contents")
                .forEach(object -> add(
                        objects,
                        object.getOrDefault("Key", ""),
                        answer.number(object, "Size"),
                        object.getOrDefault("ETag", "")));
        return answer.text("NextContinuationToken");
    }

    private void add(List<BucketFolder.Listed> objects, String key, long size, String etag) {
        folder.name(key).ifPresent(name -> objects.add(new BucketFolder.Listed(name, key, size, etag)));
    }

    private RemoteFile head(BucketFolder.Listed listed, Optional<Manifest> manifest) {
        String what = folder.place(listed.object());
        HttpHeaders headers = headers(what, folder.target(listed.object()));
        String etag = headers.firstValue("etag").orElseThrow(() -> BucketFolder.missing(what, "ETag"));
        long size = headers.firstValueAsLong("content-length")
                .orElseThrow(() -> BucketFolder.missing(what, "Content-Length"));
        return new RemoteFile(
                listed.name(),
                size,
                folder.contentId(listed.object(), etag),
                Optional.of(etag),
                // One with a dash is over the checksums of parts, whose borders are not known here.
                headers.firstValue("x-amz-checksum-crc32c")
                        .filter(sum -> !sum.contains("-"))
                        .map(Checksum::crc32c),
                manifest.map(entries -> BucketFolder.pieces(entries, listed.name(), size)));
    }

    private HttpHeaders headers(String what, String target) {
        if (knowsChecksums) {
            try {
                return call(what, "HEAD", target, "x-amz-checksum-mode", "ENABLED")
                        .headers();
            } catch (PenstockException e) {
                if (e.category() != ErrorCategory.UNAVAILABLE) {
                    throw e;
                }
                LOG.log(Level.DEBUG, "{0} may not know of checksums: {1}", folder.place(), e.getMessage());
            }
        }
        HttpHeaders headers = call(what, "HEAD", target).headers();
        // Older servers answer 501 to a header that they do not know.
        knowsChecksums = false;
        return headers;
    }

    @Override
    public Access access(Snapshot snapshot, RemoteFile file) {
        String etag = file.etag().orElseThrow();
        String target = folder.target(folder.object(file));
        return new Access.OverHttp(new RangeRequests() {
            @Override
            public WireRequest range(long offset, long length) {
                String range = "bytes=" + offset + "-" + (offset + length - 1);
                S3Account signer = account.get();
                return WireRequest.signed(signer.signed("GET", target, "range", range, "if-match", etag), signer);
            }

            @Override
            public void renew(WireRequest refused) {
                refused.signer().ifPresent(account::renew);
            }
        });
    }
}
