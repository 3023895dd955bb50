package io.penstock.loader.push;

import io.penstock.loader.source.BucketFolder;
import io.penstock.loader.source.OciAccount;
import io.penstock.loader.source.RemoteHttp;
import io.penstock.loader.source.Renewable;
import io.penstock.loader.verify.Checksum;
import io.penstock.model.ErrorCategory;
import io.penstock.model.PenstockException;
import io.vertx.core.json.DecodeException;
import io.vertx.core.json.JsonArray;
import io.vertx.core.json.JsonObject;
import java.net.http.HttpHeaders;
import java.net.http.HttpResponse;
import java.nio.charset.StandardCharsets;
import java.time.Duration;
import java.util.ArrayList;
import java.util.List;
import java.util.Optional;

/// PutObject and multipart uploads by OCI's native API, below one prefix of a bucket.
final class OciUploads implements BucketUploads {
    private static final int MAX_PAGES = 100;
    private static final String CHECKSUM = "opc-content-crc32c";

    private final RemoteHttp http;
    private final Renewable<OciAccount> account;
    private final BucketFolder folder;
    /// As [BucketFolder#target], for uploads.
    private final BucketFolder uploads;

    private final Sending sending;

    OciUploads(RemoteHttp http, Renewable<OciAccount> account, BucketFolder folder, Duration stallTimeout) {
        this.http = http;
        this.account = account;
        this.folder = folder;
        String target = folder.target();
        this.uploads =
                new BucketFolder(folder.place(), target.substring(0, target.length() - 1) + "u", folder.prefix());
        this.sending = new Sending(http.client(), stallTimeout);
    }

    @Override
    public BucketFolder folder() {
        return folder;
    }

    @Override
    public boolean wantsMd5() {
        return false;
    }

    @Override
    public String invalidPartCode() {
        return "InvalidUploadPart";
    }

    @Override
    public boolean tells(Stored stored, int parts) {
        return stored.crc32c().isPresent();
    }

    @Override
    public Likeness compare(Stored stored, Content content) {
        return Likeness.of(stored.crc32c(), content.crc32c());
    }

    @Override
    public Optional<Stored> head(String object) {
        return BucketUploads.ifThere(() -> {
            HttpHeaders headers = call("HEAD", object, folder.target(object)).headers();
            return new Stored(
                    headers.firstValueAsLong("content-length").orElse(-1), etag(object, headers), checksum(headers));
        });
    }

    private static Optional<Checksum> checksum(HttpHeaders headers) {
        return headers.firstValue(CHECKSUM).map(Checksum::crc32c);
    }

    private HttpResponse<byte[]> call(String method, String object, String target) {
        return http.call(folder.place(object), account, signer -> signer.signed(method, target));
    }

    @Override
    public void delete(String object) {
        call("DELETE", object, folder.target(object));
    }

    @Override
    public List<Upload> begun() {
        List<Upload> found = new ArrayList<>();
        for (JsonObject upload : pages(folder.place(), uploads.target() + "?")) {
            String object = upload.getString("object", "");
            if (object.startsWith(object(""))) {
                found.add(new Upload(object, upload.getString("uploadId", ""), true));
            }
        }
        return found;
    }

    @Override
    public List<Part> parts(Upload upload) {
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
            HttpResponse<byte[]> answer = http.call(what, account, signer -> signer.signed("GET", asked));
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

    @Override
    public Upload begin(String object) {
        String body = new JsonObject().put("object", object).encode();
        HttpResponse<byte[]> answer = http.call(
                folder.place(object),
                account,
                signer -> signer.signedJson(uploads.target(), body, "opc-checksum-algorithm", "CRC32C"));
        try {
            String id = new JsonObject(new String(answer.body(), StandardCharsets.UTF_8)).getString("uploadId", "");
            return new Upload(object, id, true);
        } catch (DecodeException e) {
            throw new PenstockException(ErrorCategory.CORRUPT, e, "%s: the answer is no upload", folder.place(object));
        }
    }

    @Override
    public void abort(Upload upload) {
        // Not there: it has ended otherwise.
        BucketUploads.ifThere(() -> call("DELETE", upload.object(), target(upload)));
    }

    @Override
    public String putPart(Upload upload, int number, FileRegion region, FileRegion.Sums sums) {
        String what = folder.place(upload.object()) + " part " + number;
        return etag(upload.object(), put(what, target(upload) + "&uploadPartNum=" + number, region, sums.whole()));
    }

    @Override
    public Stored putObject(String object, FileRegion region, long size, FileRegion.Sums sums) {
        HttpHeaders headers = put(folder.place(object), folder.target(object), region, sums.whole());
        return new Stored(size, etag(object, headers), checksum(headers));
    }

    private HttpHeaders put(String what, String target, FileRegion region, int sum) {
        return sending.send(
                what,
                account,
                signer -> signer.signedPut(
                        target, region.body(), CHECKSUM, checksumText(sum), "content-type", "application/octet-stream"),
                region);
    }

    private static String checksumText(int sum) {
        String text = new Checksum.Crc32cSum(sum).text();
        return text.substring(text.indexOf(':') + 1);
    }

    @Override
    public Optional<Stored> commit(Upload upload, List<String> etags, Content content) {
        JsonArray parts = new JsonArray();
        for (int i = 0; i < etags.size(); i++) {
            parts.add(new JsonObject().put("partNum", i + 1).put("etag", etags.get(i)));
        }
        String body = new JsonObject().put("partsToCommit", parts).encode();
        return BucketUploads.ifThere(() -> {
            HttpHeaders headers = http.call(
                            folder.place(upload.object()), account, signer -> signer.signedJson(target(upload), body))
                    .headers();
            return new Stored(content.size(), etag(upload.object(), headers), checksum(headers));
        });
    }
}
