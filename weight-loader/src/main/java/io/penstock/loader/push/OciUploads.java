package io.penstock.loader.push;

import io.penstock.loader.source.BucketFolder;
import io.penstock.loader.source.Failures;
import io.penstock.loader.source.OciAccount;
import io.penstock.loader.source.RemoteHttp;
import io.penstock.loader.source.Renewable;
import io.penstock.loader.source.TransientFailure;
import io.penstock.loader.verify.Checksum;
import io.penstock.model.ErrorCategory;
import io.penstock.model.PenstockException;
import io.vertx.core.json.DecodeException;
import io.vertx.core.json.JsonArray;
import io.vertx.core.json.JsonObject;
import java.io.IOException;
import java.net.http.HttpHeaders;
import java.net.http.HttpRequest.BodyPublisher;
import java.net.http.HttpResponse;
import java.net.http.HttpResponse.BodyHandlers;
import java.nio.charset.StandardCharsets;
import java.time.Duration;
import java.util.ArrayList;
import java.util.List;
import java.util.Optional;
import java.util.concurrent.CompletableFuture;
import java.util.concurrent.ExecutionException;
import java.util.concurrent.TimeUnit;
import java.util.concurrent.TimeoutException;

/// PutObject and multipart uploads by OCI's native API, below one prefix of a bucket.
final class OciUploads {
    private static final int MAX_PAGES = 100;
    private static final int MAX_ANSWER = 1 << 20;
    private static final String CHECKSUM = "opc-content-crc32c";

    private final RemoteHttp http;
    /// The service's word for a part that is not, or no longer, what a commit says.
    static final String INVALID_PART = "InvalidUploadPart";

    private final Renewable<OciAccount> account;
    private final BucketFolder folder;
    /// As [BucketFolder#target], for uploads.
    private final BucketFolder uploads;

    private final Duration stallTimeout;

    OciUploads(RemoteHttp http, Renewable<OciAccount> account, BucketFolder folder, Duration stallTimeout) {
        this.http = http;
        this.account = account;
        this.folder = folder;
        String target = folder.target();
        this.uploads =
                new BucketFolder(folder.place(), target.substring(0, target.length() - 1) + "u", folder.prefix());
        this.stallTimeout = stallTimeout;
    }

    /// An object that is there.
    ///
    /// @param crc32c of the whole, where the service tells it
    record Stored(long size, String etag, Optional<Checksum> crc32c) {}

    /// A multipart upload that was begun.
    record Upload(String object, String id) {}

    /// @param md5 base64
    record Part(int number, String etag, String md5, long size) {}

    String object(String name) {
        return folder.prefix().isEmpty() ? name : folder.prefix() + "/" + name;
    }

    String place(String object) {
        return folder.place(object);
    }

    /// @return empty when there is no such object
    Optional<Stored> head(String object) {
        try {
            HttpHeaders headers = call("HEAD", object, folder.target(object)).headers();
            return Optional.of(new Stored(
                    headers.firstValueAsLong("content-length").orElse(-1), etag(object, headers), checksum(headers)));
        } catch (PenstockException e) {
            if (e.category() == ErrorCategory.NOT_FOUND) {
                return Optional.empty();
            }
            throw e;
        }
    }

    private static Optional<Checksum> checksum(HttpHeaders headers) {
        return headers.firstValue(CHECKSUM).map(Checksum::crc32c);
    }

    private String etag(String object, HttpHeaders headers) {
        return headers.firstValue("etag")
                .orElseThrow(() -> new PenstockException(
                        ErrorCategory.CORRUPT, "%s: the answer has no ETag", folder.place(object)));
    }

    private HttpResponse<byte[]> call(String method, String object, String target) {
        return http.call(folder.place(object), () -> account.get().signed(method, target), account::renew);
    }

    void delete(String object) {
        call("DELETE", object, folder.target(object));
    }

    /// @return those below the prefix that were begun and have not ended
    List<Upload> begun() {
        List<Upload> found = new ArrayList<>();
        for (JsonObject upload : pages(folder.place(), uploads.target() + "?")) {
            String object = upload.getString("object", "");
            if (object.startsWith(object(""))) {
                found.add(new Upload(object, upload.getString("uploadId", "")));
            }
        }
        return found;
    }

    List<Part> parts(Upload upload) {
        return pages(folder.place(upload.object()), target(upload) + "&").stream()
                .map(part -> new Part(
                        part.getInteger("partNumber", 0),
                        part.getString("etag", ""),
                        part.getString("md5", ""),
                        part.getLong("size", -1L)))
                .toList();
    }

    private List<JsonObject> pages(String what, String target) {
        List<JsonObject> entries = new ArrayList<>();
        Optional<String> next = Optional.empty();
        for (int page = 0; page < MAX_PAGES; page++) {
            String asked = target + "limit=1000"
                    + next.map(token -> "&page=" + BucketFolder.encode(token)).orElse("");
            HttpResponse<byte[]> answer = http.call(what, () -> account.get().signed("GET", asked), account::renew);
            try {
                JsonArray array = new JsonArray(new String(answer.body(), StandardCharsets.UTF_8));
                for (int i = 0; i < array.size(); i++) {
                    entries.add(array.getJsonObject(i));
                }
            } catch (DecodeException | ClassCastException e) {
                throw new PenstockException(ErrorCategory.CORRUPT, e, "%s answered with no list of uploads", what);
            }
            next = answer.headers().firstValue("opc-next-page");
            if (next.isEmpty()) {
                return entries;
            }
        }
        throw new PenstockException(
                ErrorCategory.BAD_INPUT, "%s has over %d pages of unfinished uploads; remove some", what, MAX_PAGES);
    }

    private String target(Upload upload) {
        return uploads.target(upload.object()) + "?uploadId=" + BucketFolder.encode(upload.id());
    }

    Upload begin(String object) {
        String body = new JsonObject().put("object", object).encode();
        HttpResponse<byte[]> answer = http.call(
                folder.place(object),
                () -> account.get().signedJson(uploads.target(), body, "opc-checksum-algorithm", "CRC32C"),
                account::renew);
        try {
            return new Upload(
                    object,
                    new JsonObject(new String(answer.body(), StandardCharsets.UTF_8)).getString("uploadId", ""));
        } catch (DecodeException e) {
            throw new PenstockException(ErrorCategory.CORRUPT, e, "%s: the answer is no upload", folder.place(object));
        }
    }

    void abort(Upload upload) {
        try {
            call("DELETE", upload.object(), target(upload));
        } catch (PenstockException e) {
            // It has ended otherwise.
            if (e.category() != ErrorCategory.NOT_FOUND) {
                throw e;
            }
        }
    }

    /// One attempt.
    ///
    /// @param sum CRC32C of the region; the service refuses bytes that do not give it
    /// @return the part's ETag
    String putPart(Upload upload, int number, FileRegion region, int sum) {
        String what = folder.place(upload.object()) + " part " + number;
        return etag(
                upload.object(), put(what, target(upload) + "&uploadPartNum=" + number, region, region.body(), sum));
    }

    /// One attempt to put a whole object.
    Stored putObject(String object, FileRegion region, long size, int sum) {
        HttpHeaders headers = put(folder.place(object), folder.target(object), region, region.body(), sum);
        return new Stored(size, etag(object, headers), checksum(headers));
    }

    private HttpHeaders put(String what, String target, FileRegion region, BodyPublisher body, int sum) {
        CompletableFuture<HttpResponse<byte[]>> sent = http.client()
                .sendAsync(
                        account.get()
                                .signedPut(
                                        target,
                                        body,
                                        CHECKSUM,
                                        checksumText(sum),
                                        "content-type",
                                        "application/octet-stream"),
                        BodyHandlers.limiting(BodyHandlers.ofByteArray(), MAX_ANSWER));
        HttpResponse<byte[]> answer = await(what, sent, region);
        if (answer.statusCode() == 400) {
            // What is wrong with a request that others like it were right in is its bytes.
            throw new TransientFailure("checksum", what + ": 400 " + new String(answer.body(), StandardCharsets.UTF_8));
        }
        if (answer.statusCode() >= 300) {
            RuntimeException failure = RemoteHttp.failure(
                    what, answer.statusCode(), answer.headers(), new String(answer.body(), StandardCharsets.UTF_8));
            if (RemoteHttp.isRefusal(failure)) {
                account.renew();
            }
            throw failure;
        }
        return answer.headers();
    }

    private static String checksumText(int sum) {
        String text = new Checksum.Crc32cSum(sum).text();
        return text.substring(text.indexOf(':') + 1);
    }

    private HttpResponse<byte[]> await(String what, CompletableFuture<HttpResponse<byte[]>> sent, FileRegion region) {
        long poll = Math.max(1, Math.min(1000, stallTimeout.toMillis() / 4));
        try {
            while (true) {
                try {
                    return sent.get(poll, TimeUnit.MILLISECONDS);
                } catch (TimeoutException e) {
                    if (region.silence().compareTo(stallTimeout) > 0) {
                        throw new TransientFailure(
                                "stalled", Duration.ZERO, what + ": no byte taken for " + stallTimeout, e);
                    }
                }
            }
        } catch (ExecutionException e) {
            throw e.getCause() instanceof IOException broken
                    ? new TransientFailure("reset", Duration.ZERO, what + ": " + RemoteHttp.describe(broken), broken)
                    : Failures.of(e.getCause(), what);
        } catch (InterruptedException e) {
            Thread.currentThread().interrupt();
            throw new PenstockException(ErrorCategory.UNAVAILABLE, e, "%s: stopped", what);
        } finally {
            sent.cancel(true);
        }
    }

    /// Makes an object of the parts, in their order.
    ///
    /// @return empty when the upload is no longer there: an earlier attempt may have done it
    Optional<Stored> commit(Upload upload, List<String> etags, long size) {
        JsonArray parts = new JsonArray();
        for (int i = 0; i < etags.size(); i++) {
            parts.add(new JsonObject().put("partNum", i + 1).put("etag", etags.get(i)));
        }
        String body = new JsonObject().put("partsToCommit", parts).encode();
        try {
            HttpHeaders headers = http.call(
                            folder.place(upload.object()),
                            () -> account.get().signedJson(target(upload), body),
                            account::renew)
                    .headers();
            return Optional.of(new Stored(size, etag(upload.object(), headers), checksum(headers)));
        } catch (PenstockException e) {
            if (e.category() == ErrorCategory.NOT_FOUND) {
                return Optional.empty();
            }
            throw e;
        }
    }
}
