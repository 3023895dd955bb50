package io.penstock.loader.source;

import io.penstock.loader.verify.Checksum;
import io.penstock.loader.verify.Manifest;
import io.penstock.loader.verify.PieceChecksums;
import io.penstock.loader.wire.WireRequest;
import io.penstock.model.ErrorCategory;
import io.penstock.model.PenstockException;
import io.vertx.core.json.DecodeException;
import io.vertx.core.json.JsonArray;
import io.vertx.core.json.JsonObject;
import java.net.http.HttpHeaders;
import java.net.http.HttpResponse;
import java.nio.charset.StandardCharsets;
import java.util.ArrayList;
import java.util.List;
import java.util.Optional;

/// Objects of an OCI Object Storage bucket under a prefix, or the one object of that name, by the native
/// API.
///
/// ETags pin them; the revision is a digest over names, sizes and ETags. A whole object's CRC32C is in
/// the headers of a HEAD where the upload asked for one.
public final class OciSource implements Source {
    private static final int MAX_PAGES = 20;
    private static final int MAX_PAGE_SIZE = 1000;

    private final RemoteHttp http;
    private final Renewable<OciAccount> account;
    private final BucketFolder folder;
    private final int pageSize;

    /// @param account asked for at first use, so that a service starts without credentials it may not need
    /// @param prefix without a slash at its end; empty for the whole bucket
    public OciSource(RemoteHttp http, Renewable<OciAccount> account, String namespace, String bucket, String prefix) {
        this(http, account, BucketFolder.oci(namespace, bucket, prefix));
    }

    /// @param folder by OCI's own API
    public OciSource(RemoteHttp http, Renewable<OciAccount> account, BucketFolder folder) {
        this(http, account, folder, MAX_PAGE_SIZE);
    }

    OciSource(RemoteHttp http, Renewable<OciAccount> account, BucketFolder folder, int pageSize) {
        this.http = http;
        this.account = account;
        this.folder = folder;
        this.pageSize = pageSize;
    }

    @Override
    public String kind() {
        return "oci";
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

    private HttpResponse<byte[]> call(String what, String method, String target) {
        return http.call(what, account, signer -> signer.signed(method, target));
    }

    private List<BucketFolder.Listed> list() {
        List<BucketFolder.Listed> listed = new ArrayList<>();
        String start = "";
        for (int page = 0; page < MAX_PAGES; page++) {
            String target = folder.target() + "?fields=name,size,etag&limit=" + pageSize + "&prefix="
                    + BucketFolder.encode(folder.prefix())
                    + (start.isEmpty() ? "" : "&start=" + BucketFolder.encode(start));
            JsonObject answer = json(call("list " + folder.place(), "GET", target));
            JsonArray objects = answer.getJsonArray("objects", new JsonArray());
            for (int i = 0; i < objects.size(); i++) {
                JsonObject found = objects.getJsonObject(i);
                String object = found.getString("name", "");
                folder.name(object)
                        .ifPresent(name -> listed.add(new BucketFolder.Listed(
                                name, object, found.getLong("size", -1L), found.getString("etag", ""))));
            }
            start = answer.getString("nextStartWith", "");
            if (start.isEmpty()) {
                return listed;
            }
        }
        throw new PenstockException(
                ErrorCategory.BAD_INPUT,
                "%s holds over %d objects below '%s'",
                folder.place(),
                MAX_PAGES * pageSize,
                folder.prefix());
    }

    private RemoteFile head(BucketFolder.Listed object, Optional<Manifest> manifest) {
        String what = folder.place(object.object());
        HttpHeaders headers = call(what, "HEAD", folder.target(object.object())).headers();
        String etag = headers.firstValue("etag").orElseThrow(() -> BucketFolder.missing(what, "ETag"));
        long size = headers.firstValueAsLong("content-length")
                .orElseThrow(() -> BucketFolder.missing(what, "Content-Length"));
        Optional<PieceChecksums> pieces = manifest.map(entries -> BucketFolder.pieces(entries, object.name(), size));
        return new RemoteFile(
                object.name(),
                size,
                folder.contentId(object.object(), etag),
                Optional.of(etag),
                headers.firstValue("opc-content-crc32c").map(Checksum::crc32c),
                pieces);
    }

    @Override
    public Access access(Snapshot snapshot, RemoteFile file) {
        String etag = file.etag().orElseThrow();
        String object = folder.object(file);
        return new Access.OverHttp(new RangeRequests() {
            @Override
            public WireRequest range(long offset, long length) {
                String range = "bytes=" + offset + "-" + (offset + length - 1);
                OciAccount signer = account.get();
                return WireRequest.signed(
                        signer.signed("GET", folder.target(object), "range", range, "if-match", etag), signer);
            }

            @Override
            public void renew(WireRequest refused) {
                refused.signer().ifPresent(account::renew);
            }
        });
    }

    private JsonObject json(HttpResponse<byte[]> response) {
        try {
            return new JsonObject(new String(response.body(), StandardCharsets.UTF_8));
        } catch (DecodeException e) {
            throw new PenstockException(ErrorCategory.CORRUPT, e, "%s answered with no JSON object", folder.place());
        }
    }
}
