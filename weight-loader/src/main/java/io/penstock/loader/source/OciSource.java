package io.penstock.loader.source;

import io.penstock.loader.verify.Checksum;
import io.penstock.loader.verify.Manifest;
import io.penstock.loader.verify.PieceChecksums;
import io.penstock.model.ErrorCategory;
import io.penstock.model.PenstockException;
import io.vertx.core.json.DecodeException;
import io.vertx.core.json.JsonArray;
import io.vertx.core.json.JsonObject;
import java.net.URLEncoder;
import java.net.http.HttpHeaders;
import java.net.http.HttpRequest;
import java.net.http.HttpResponse;
import java.nio.charset.StandardCharsets;
import java.util.ArrayList;
import java.util.List;
import java.util.Optional;
import java.util.concurrent.ExecutionException;
import java.util.concurrent.ExecutorService;
import java.util.concurrent.Executors;
import java.util.concurrent.Future;

/// Objects of an OCI Object Storage bucket under a prefix, or the one object of that name, by the native
/// API.
///
/// ETags pin them; the revision is a digest over names, sizes and ETags. A whole object's CRC32C is in the
/// headers of a
/// HEAD where the upload asked for one.
public final class OciSource implements Source {
    private static final int MAX_PAGES = 20;
    private static final int MAX_PAGE_SIZE = 1000;
    private static final int HEADS_AT_ONCE = 16;

    private final RemoteHttp http;
    private final Renewable<OciAccount> account;
    private final String bucketTarget;
    private final String place;
    private final String prefix;
    private final int pageSize;

    /// @param account asked for at first use, so that a service starts without credentials it may not need
    /// @param prefix without a slash at its end; empty for the whole bucket
    public OciSource(RemoteHttp http, Renewable<OciAccount> account, String namespace, String bucket, String prefix) {
        this(http, account, namespace, bucket, prefix, MAX_PAGE_SIZE);
    }

    OciSource(
            RemoteHttp http,
            Renewable<OciAccount> account,
            String namespace,
            String bucket,
            String prefix,
            int pageSize) {
        this.http = http;
        this.account = account;
        this.bucketTarget = "/n/" + encode(namespace) + "/b/" + encode(bucket) + "/o";
        this.place = "oci://" + namespace + "/" + bucket;
        this.prefix = prefix;
        this.pageSize = pageSize;
    }

    private record Listed(FileName name, String object) {}

    @Override
    public String kind() {
        return "oci";
    }

    @Override
    public Snapshot resolve(String model, String revision) {
        List<Listed> listed = list();
        Optional<Manifest> manifest = listed.stream()
                .filter(object -> object.name().value().equals(Manifest.NAME))
                .findFirst()
                .map(object -> Manifest.parse(new String(
                        http.call(
                                        place + "/" + object.object(),
                                        () -> account.get().signed("GET", target(object.object())))
                                .body(),
                        StandardCharsets.UTF_8)));
        List<RemoteFile> files = heads(
                listed.stream()
                        .filter(object -> !object.name().value().equals(Manifest.NAME))
                        .toList(),
                manifest);
        Snapshot snapshot = new Snapshot(model, Snapshot.digest(files), files);
        if (!revision.isEmpty() && !revision.equals(snapshot.revision())) {
            throw new PenstockException(
                    ErrorCategory.NOT_FOUND,
                    "model '%s': %s now holds revision %s, not %s",
                    model,
                    place,
                    snapshot.revision(),
                    revision);
        }
        return snapshot;
    }

    private List<Listed> list() {
        List<Listed> listed = new ArrayList<>();
        String start = "";
        for (int page = 0; page < MAX_PAGES; page++) {
            String target = bucketTarget + "?fields=name&limit=" + pageSize + "&prefix=" + encode(prefix)
                    + (start.isEmpty() ? "" : "&start=" + encode(start));
            JsonObject answer =
                    json(http.call("list " + place, () -> account.get().signed("GET", target)));
            JsonArray objects = answer.getJsonArray("objects", new JsonArray());
            for (int i = 0; i < objects.size(); i++) {
                add(listed, objects.getJsonObject(i).getString("name", ""));
            }
            start = answer.getString("nextStartWith", "");
            if (start.isEmpty()) {
                return listed;
            }
        }
        throw new PenstockException(
                ErrorCategory.BAD_INPUT, "%s holds over %d objects below '%s'", place, MAX_PAGES * pageSize, prefix);
    }

    private void add(List<Listed> listed, String object) {
        String folder = prefix.isEmpty() ? "" : prefix + "/";
        if (object.equals(prefix)) {
            listed.add(new Listed(new FileName(object.substring(object.lastIndexOf('/') + 1)), object));
        } else if (object.startsWith(folder) && !object.endsWith("/")) {
            listed.add(new Listed(new FileName(object.substring(folder.length())), object));
        }
        // Others only share the beginning of their name; names that end in a slash are consoles' folder
        // marks.
    }

    private List<RemoteFile> heads(List<Listed> listed, Optional<Manifest> manifest) {
        try (ExecutorService executor =
                Executors.newFixedThreadPool(HEADS_AT_ONCE, Thread.ofVirtual().factory())) {
            List<Future<RemoteFile>> heads = listed.stream()
                    .map(object -> executor.submit(() -> head(object, manifest)))
                    .toList();
            List<RemoteFile> files = new ArrayList<>();
            for (Future<RemoteFile> head : heads) {
                files.add(head.get());
            }
            return files;
        } catch (ExecutionException e) {
            throw e.getCause() instanceof PenstockException failure
                    ? failure
                    : new PenstockException(ErrorCategory.INTERNAL, e.getCause(), "%s: %s", place, e.getCause());
        } catch (InterruptedException e) {
            Thread.currentThread().interrupt();
            throw new PenstockException(ErrorCategory.UNAVAILABLE, e, "%s: stopped", place);
        }
    }

    private RemoteFile head(Listed object, Optional<Manifest> manifest) {
        String what = place + "/" + object.object();
        HttpHeaders headers = http.call(what, () -> account.get().signed("HEAD", target(object.object())))
                .headers();
        String etag = headers.firstValue("etag").orElseThrow(() -> missing(what, "ETag"));
        long size = headers.firstValueAsLong("content-length").orElseThrow(() -> missing(what, "Content-Length"));
        Optional<PieceChecksums> pieces = manifest.map(entries -> pieces(entries, object.name(), size));
        return new RemoteFile(
                object.name(),
                size,
                what + "#" + etag,
                Optional.of(etag),
                headers.firstValue("opc-content-crc32c").map(Checksum::crc32c),
                pieces);
    }

    private static PieceChecksums pieces(Manifest manifest, FileName name, long size) {
        Manifest.Entry entry = manifest.files().get(name.value());
        if (entry == null || entry.size() != size) {
            throw new PenstockException(
                    ErrorCategory.CORRUPT,
                    "%s does not describe %s of %d bytes; write it again or remove it",
                    Manifest.NAME,
                    name,
                    size);
        }
        return entry.pieces();
    }

    private static PenstockException missing(String what, String header) {
        return new PenstockException(ErrorCategory.CORRUPT, "%s: the answer has no %s", what, header);
    }

    @Override
    public Access access(Snapshot snapshot, RemoteFile file) {
        String etag = file.etag().orElseThrow();
        String id = file.contentId();
        String object = id.substring(place.length() + 1, id.length() - etag.length() - 1);
        return new Access.OverHttp(new RangeRequests() {
            @Override
            public HttpRequest range(long offset, long length) {
                String range = "bytes=" + offset + "-" + (offset + length - 1);
                return account.get().signed("GET", target(object), "range", range, "if-match", etag);
            }

            @Override
            public void renew() {
                account.renew();
            }
        });
    }

    private String target(String object) {
        StringBuilder target = new StringBuilder(bucketTarget);
        for (String segment : object.split("/", -1)) {
            target.append('/').append(encode(segment));
        }
        return target.toString();
    }

    private static String encode(String text) {
        return URLEncoder.encode(text, StandardCharsets.UTF_8).replace("+", "%20");
    }

    private JsonObject json(HttpResponse<byte[]> response) {
        try {
            return new JsonObject(new String(response.body(), StandardCharsets.UTF_8));
        } catch (DecodeException e) {
            throw new PenstockException(ErrorCategory.CORRUPT, e, "%s answered with no JSON object", place);
        }
    }
}
