package io.penstock.emulator;

import io.penstock.emulator.UploadStore.Choice;
import io.penstock.emulator.UploadStore.Multipart;
import io.vertx.core.Future;
import io.vertx.core.http.HttpServerRequest;
import io.vertx.core.json.JsonArray;
import io.vertx.core.json.JsonObject;
import java.time.Instant;
import java.util.ArrayList;
import java.util.List;
import java.util.Optional;

/// PutObject and multipart uploads by OCI's own API.
final class Uploads {
    private static final int MAX_PAGE = 1000;

    private final UploadStore uploads;
    private final WriteFaults faults;

    Uploads(UploadStore uploads, WriteFaults faults) {
        this.uploads = uploads;
        this.faults = faults;
    }

    Future<Void> putObject(HttpServerRequest request, ObjectPath path) {
        ObjectWrite write = new ObjectWrite(ObjectWrite.Step.OBJECT, path.bucket(), path.object(), 0);
        return faults.strike(
                request,
                write,
                wrongByte -> uploads.putObject(request, path, checksumAsked(request), wrongByte)
                        .compose(object -> {
                            object.crc32c().ifPresent(crc -> request.response().putHeader("opc-content-crc32c", crc));
                            return request.response()
                                    .putHeader("etag", object.etag())
                                    .putHeader("opc-content-md5", object.md5())
                                    .putHeader("last-modified", ObjectReads.httpDate(object.created()))
                                    .end();
                        }));
    }

    Future<Void> create(HttpServerRequest request, ObjectPath path, JsonObject body) {
        String object = body.getString("object", "");
        if (object.isEmpty()) {
            throw ServiceException.invalid("'object' is missing");
        }
        uploads.checkConditions(request, path.bucket(), object);
        String id = uploads.begin(path.bucket(), object, checksumAsked(request));
        return request.response()
                .putHeader("content-type", "application/json")
                .end(new JsonObject()
                        .put("namespace", path.namespace())
                        .put("bucket", path.bucket())
                        .put("object", object)
                        .put("uploadId", id)
                        .put("timeCreated", Instant.now())
                        .encode());
    }

    Future<Void> putPart(HttpServerRequest request, ObjectPath path) {
        Multipart multipart = uploads.multipart(request, path);
        int number = UploadStore.partNumber(request.getParam("uploadPartNum"));
        ObjectWrite write = new ObjectWrite(ObjectWrite.Step.PART, path.bucket(), path.object(), number);
        return faults.strike(
                request,
                write,
                wrongByte -> uploads.putPart(request, multipart, number, wrongByte)
                        .compose(part -> {
                            if (multipart.checksum()) {
                                request.response()
                                        .putHeader(
                                                "opc-content-crc32c",
                                                part.checksums().crc32c());
                            }
                            return request.response()
                                    .putHeader("etag", part.etag())
                                    .putHeader(
                                            "opc-content-md5", part.checksums().md5())
                                    .end();
                        }));
    }

    Future<Void> commit(HttpServerRequest request, ObjectPath path, JsonObject body) {
        ObjectWrite write = new ObjectWrite(ObjectWrite.Step.COMMIT, path.bucket(), path.object(), 0);
        return faults.strike(
                request,
                write,
                _ -> uploads.join(request, path, choices(body), Optional.empty())
                        .compose(object -> {
                            object.crc32c().ifPresent(crc -> request.response().putHeader("opc-content-crc32c", crc));
                            return request.response()
                                    .putHeader("etag", object.etag())
                                    .putHeader("opc-multipart-md5", object.md5())
                                    .putHeader("last-modified", ObjectReads.httpDate(object.created()))
                                    .end();
                        }));
    }

    private static List<Choice> choices(JsonObject body) {
        JsonArray wanted = body.getJsonArray("partsToCommit", new JsonArray());
        List<Choice> choices = new ArrayList<>();
        for (int i = 0; i < wanted.size(); i++) {
            JsonObject entry = wanted.getJsonObject(i);
            choices.add(new Choice(
                    UploadStore.partNumber(String.valueOf(entry.getValue("partNum"))), entry.getString("etag", "")));
        }
        return choices;
    }

    /// The uploads of a bucket that were begun and have not ended.
    Future<Void> list(HttpServerRequest request, ObjectPath path) {
        JsonArray found = new JsonArray();
        uploads.begun(path.bucket())
                .forEach((id, upload) -> found.add(new JsonObject()
                        .put("namespace", path.namespace())
                        .put("bucket", upload.bucket())
                        .put("object", upload.object())
                        .put("uploadId", id)
                        .put("timeCreated", upload.created())));
        return page(request, found);
    }

    /// The parts that an upload has, by number.
    Future<Void> listParts(HttpServerRequest request, ObjectPath path) {
        JsonArray parts = new JsonArray();
        uploads.multipart(request, path)
                .parts()
                .forEach((number, part) -> parts.add(new JsonObject()
                        .put("partNumber", number)
                        .put("etag", part.etag())
                        .put("md5", part.checksums().md5())
                        .put("size", part.checksums().length())));
        return page(request, parts);
    }

    private static Future<Void> page(HttpServerRequest request, JsonArray all) {
        String limit = request.getParam("limit");
        String page = request.getParam("page");
        if ((limit != null && !limit.matches("[1-9]\\d{0,2}|1000")) || (page != null && !page.matches("\\d{1,6}"))) {
            throw ServiceException.invalid("limit is from 1 to 1000, page as an answer gave it");
        }
        int from = page == null ? 0 : Math.min(all.size(), Integer.parseInt(page));
        int to = Math.min(all.size(), from + (limit == null ? MAX_PAGE : Integer.parseInt(limit)));
        if (to < all.size()) {
            request.response().putHeader("opc-next-page", String.valueOf(to));
        }
        return request.response()
                .putHeader("content-type", "application/json")
                .end(new JsonArray(all.getList().subList(from, to)).encode());
    }

    Future<Void> abort(HttpServerRequest request, ObjectPath path) {
        uploads.multipart(request, path);
        uploads.discard(request.getParam("uploadId"));
        return request.response().setStatusCode(204).end();
    }

    private static boolean checksumAsked(HttpServerRequest request) {
        String algorithm = request.getHeader("opc-checksum-algorithm");
        if (algorithm != null && !algorithm.equals("CRC32C")) {
            throw ServiceException.invalid("the emulator knows no checksum algorithm but CRC32C: " + algorithm);
        }
        return algorithm != null || request.getHeader("opc-content-crc32c") != null;
    }
}
