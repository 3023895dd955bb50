package io.penstock.emulator;

import io.vertx.core.Future;
import io.vertx.core.Promise;
import io.vertx.core.Vertx;
import io.vertx.core.buffer.Buffer;
import io.vertx.core.file.AsyncFile;
import io.vertx.core.file.OpenOptions;
import io.vertx.core.http.HttpServerRequest;
import io.vertx.core.json.JsonArray;
import io.vertx.core.json.JsonObject;
import java.io.IOException;
import java.io.UncheckedIOException;
import java.nio.ByteBuffer;
import java.nio.channels.FileChannel;
import java.nio.file.Files;
import java.nio.file.Path;
import java.nio.file.StandardOpenOption;
import java.security.MessageDigest;
import java.security.NoSuchAlgorithmException;
import java.time.Instant;
import java.util.ArrayList;
import java.util.Base64;
import java.util.List;
import java.util.Map;
import java.util.NavigableMap;
import java.util.Optional;
import java.util.UUID;
import java.util.concurrent.ConcurrentHashMap;
import java.util.concurrent.ConcurrentSkipListMap;

/// PutObject and multipart uploads. Bodies go to a file as they come; nothing of them stays in memory.
final class Uploads {
    private static final int MAX_PARTS = 10_000;
    private static final int MAX_PAGE = 1000;
    private static final int COPY_SIZE = 1 << 20;

    private final Vertx vertx;
    private final ObjectStore store;
    private final WriteFaults faults;
    private final Map<String, Multipart> multiparts = new ConcurrentHashMap<>();

    Uploads(Vertx vertx, ObjectStore store, Faults faults) {
        this.vertx = vertx;
        this.store = store;
        this.faults = new WriteFaults(vertx, faults);
    }

    /// @param checksum whether the whole object's CRC32C was asked for
    private record Multipart(
            String bucket, String object, boolean checksum, Instant created, NavigableMap<Integer, Part> parts) {}

    private record Part(Path content, String etag, ContentDigest.Checksums checksums) {}

    Future<Void> putObject(HttpServerRequest request, ObjectPath path) {
        ObjectWrite write = new ObjectWrite(ObjectWrite.Step.OBJECT, path.bucket(), path.object(), 0);
        return faults.strike(request, write, wrongByte -> putObject(request, path, wrongByte));
    }

    private Future<Void> putObject(HttpServerRequest request, ObjectPath path, long wrongByte) {
        checkConditions(request, path.bucket(), path.object());
        boolean checksum = checksumAsked(request);
        Path content = store.newContent(path.bucket());
        return receive(request, content, wrongByte).compose(sums -> {
            checkConditions(request, path.bucket(), path.object());
            StoredObject object = new StoredObject(
                    path.object(),
                    content,
                    sums.length(),
                    UUID.randomUUID().toString(),
                    sums.md5(),
                    false,
                    checksum ? Optional.of(sums.crc32c()) : Optional.empty(),
                    Instant.now());
            store.put(path.bucket(), object);
            object.crc32c().ifPresent(crc -> request.response().putHeader("opc-content-crc32c", crc));
            return request.response()
                    .putHeader("etag", object.etag())
                    .putHeader("opc-content-md5", object.md5())
                    .putHeader("last-modified", ObjectReads.httpDate(object.created()))
                    .end();
        });
    }

    Future<Void> create(HttpServerRequest request, ObjectPath path, JsonObject body) {
        String object = body.getString("object", "");
        if (object.isEmpty()) {
            throw ServiceException.invalid("'object' is missing");
        }
        checkConditions(request, path.bucket(), object);
        String id = UUID.randomUUID().toString();
        multiparts.put(
                id,
                new Multipart(
                        path.bucket(), object, checksumAsked(request), Instant.now(), new ConcurrentSkipListMap<>()));
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
        Multipart multipart = multipart(request, path);
        int number = partNumber(request.getParam("uploadPartNum"));
        ObjectWrite write = new ObjectWrite(ObjectWrite.Step.PART, path.bucket(), path.object(), number);
        return faults.strike(request, write, wrongByte -> putPart(request, path, multipart, number, wrongByte));
    }

    private Future<Void> putPart(
            HttpServerRequest request, ObjectPath path, Multipart multipart, int number, long wrongByte) {
        Path content = store.newContent(path.bucket());
        return receive(request, content, wrongByte).compose(sums -> {
            Part part = new Part(content, UUID.randomUUID().toString(), sums);
            Part old = multipart.parts().put(number, part);
            if (old != null) {
                delete(old.content());
            }
            if (multipart.checksum()) {
                request.response().putHeader("opc-content-crc32c", sums.crc32c());
            }
            return request.response()
                    .putHeader("etag", part.etag())
                    .putHeader("opc-content-md5", sums.md5())
                    .end();
        });
    }

    Future<Void> commit(HttpServerRequest request, ObjectPath path, JsonObject body) {
        ObjectWrite write = new ObjectWrite(ObjectWrite.Step.COMMIT, path.bucket(), path.object(), 0);
        return faults.strike(request, write, _ -> join(request, path, body));
    }

    private Future<Void> join(HttpServerRequest request, ObjectPath path, JsonObject body) {
        Multipart multipart = multipart(request, path);
        checkConditions(request, path.bucket(), path.object());
        List<Part> parts = chosen(multipart, body.getJsonArray("partsToCommit", new JsonArray()));
        return vertx.executeBlocking(() -> join(multipart, parts), false).compose(object -> {
            store.put(path.bucket(), object);
            discard(request.getParam("uploadId"));
            object.crc32c().ifPresent(crc -> request.response().putHeader("opc-content-crc32c", crc));
            return request.response()
                    .putHeader("etag", object.etag())
                    .putHeader("opc-multipart-md5", object.md5())
                    .putHeader("last-modified", ObjectReads.httpDate(object.created()))
                    .end();
        });
    }

    /// The uploads of a bucket that were begun and have not ended, in no order.
    Future<Void> list(HttpServerRequest request, ObjectPath path) {
        store.bucket(path.bucket());
        JsonArray uploads = new JsonArray();
        multiparts.forEach((id, upload) -> {
            if (upload.bucket().equals(path.bucket())) {
                uploads.add(new JsonObject()
                        .put("namespace", path.namespace())
                        .put("bucket", upload.bucket())
                        .put("object", upload.object())
                        .put("uploadId", id)
                        .put("timeCreated", upload.created()));
            }
        });
        return page(request, uploads);
    }

    /// The parts that an upload has, by number.
    Future<Void> listParts(HttpServerRequest request, ObjectPath path) {
        JsonArray parts = new JsonArray();
        multipart(request, path)
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
        multipart(request, path);
        discard(request.getParam("uploadId"));
        return request.response().setStatusCode(204).end();
    }

    /// Adds a local file as an object with its checksum, as a client's upload would.
    StoredObject putFile(String bucket, String name, Path file) throws IOException {
        Path content = store.newContent(bucket);
        ContentDigest digest = new ContentDigest();
        try (FileChannel to = FileChannel.open(content, StandardOpenOption.CREATE_NEW, StandardOpenOption.WRITE)) {
            append(file, to, digest);
        }
        ContentDigest.Checksums sums = digest.finish();
        StoredObject object = new StoredObject(
                name,
                content,
                sums.length(),
                UUID.randomUUID().toString(),
                sums.md5(),
                false,
                Optional.of(sums.crc32c()),
                Instant.now());
        store.put(bucket, object);
        return object;
    }

    private StoredObject join(Multipart multipart, List<Part> parts) throws IOException {
        Path content = store.newContent(multipart.bucket());
        ContentDigest digest = new ContentDigest();
        MessageDigest digests = md5();
        try (FileChannel to = FileChannel.open(content, StandardOpenOption.CREATE_NEW, StandardOpenOption.WRITE)) {
            for (Part part : parts) {
                append(part.content(), to, digest);
                digests.update(Base64.getDecoder().decode(part.checksums().md5()));
            }
        }
        ContentDigest.Checksums sums = digest.finish();
        return new StoredObject(
                multipart.object(),
                content,
                sums.length(),
                UUID.randomUUID().toString(),
                Base64.getEncoder().encodeToString(digests.digest()) + "-" + parts.size(),
                true,
                multipart.checksum() ? Optional.of(sums.crc32c()) : Optional.empty(),
                Instant.now());
    }

    private static void append(Path file, FileChannel to, ContentDigest digest) throws IOException {
        ByteBuffer buffer = ByteBuffer.allocateDirect(COPY_SIZE);
        try (FileChannel from = FileChannel.open(file)) {
            while (from.read(buffer.clear()) > 0) {
                buffer.flip();
                digest.update(buffer.duplicate());
                while (buffer.hasRemaining()) {
                    to.write(buffer);
                }
            }
        }
    }

    private static List<Part> chosen(Multipart multipart, JsonArray wanted) {
        if (wanted.isEmpty()) {
            throw ServiceException.invalid("'partsToCommit' is empty");
        }
        List<Part> parts = new ArrayList<>();
        int last = 0;
        for (int i = 0; i < wanted.size(); i++) {
            JsonObject entry = wanted.getJsonObject(i);
            int number = partNumber(String.valueOf(entry.getValue("partNum")));
            Part part = multipart.parts().get(number);
            if (number <= last) {
                throw new ServiceException(400, "InvalidUploadPartOrder", "Part " + number + " is out of order");
            }
            if (part == null || !part.etag().equals(entry.getString("etag"))) {
                throw new ServiceException(400, "InvalidUploadPart", "Part " + number + " is not of this ETag");
            }
            parts.add(part);
            last = number;
        }
        return parts;
    }

    private Multipart multipart(HttpServerRequest request, ObjectPath path) {
        String id = String.valueOf(request.getParam("uploadId"));
        Multipart multipart = multiparts.get(id);
        if (multipart == null
                || !multipart.bucket().equals(path.bucket())
                || !multipart.object().equals(path.object())) {
            throw ServiceException.noUpload(id);
        }
        return multipart;
    }

    private void discard(String id) {
        Multipart multipart = multiparts.remove(id);
        if (multipart != null) {
            multipart.parts().values().forEach(part -> delete(part.content()));
        }
    }

    private static int partNumber(String text) {
        if (text == null || !text.matches("\\d{1,5}") || Integer.parseInt(text) < 1) {
            throw ServiceException.invalid("'" + text + "' is not a part number");
        }
        int number = Integer.parseInt(text);
        if (number > MAX_PARTS) {
            throw ServiceException.invalid("part " + number + " is beyond " + MAX_PARTS);
        }
        return number;
    }

    private static boolean checksumAsked(HttpServerRequest request) {
        String algorithm = request.getHeader("opc-checksum-algorithm");
        if (algorithm != null && !algorithm.equals("CRC32C")) {
            throw ServiceException.invalid("the emulator knows no checksum algorithm but CRC32C: " + algorithm);
        }
        return algorithm != null || request.getHeader("opc-content-crc32c") != null;
    }

    private void checkConditions(HttpServerRequest request, String bucket, String name) {
        StoredObject there = store.bucket(bucket).get(name);
        if ("*".equals(request.getHeader("if-none-match")) && there != null) {
            throw new ServiceException(412, "IfNoneMatchFailed", "The object '" + name + "' exists");
        }
        String wanted = request.getHeader("if-match");
        if (wanted != null && (there == null || !(wanted.equals("*") || wanted.equals(there.etag())))) {
            throw new ServiceException(412, "IfMatchFailed", "The ETag is not '" + wanted + "'");
        }
    }

    /// Writes the body to a new file; on any failure, of the checksums included, that file is gone again.
    private Future<ContentDigest.Checksums> receive(HttpServerRequest request, Path content, long wrongByte) {
        ContentDigest digest = new ContentDigest();
        // Nothing of the body may arrive before the file is open.
        request.pause();
        return vertx.fileSystem()
                .open(
                        content.toString(),
                        new OpenOptions().setCreateNew(true).setRead(false).setWrite(true))
                .compose(file -> write(request, file, digest, wrongByte))
                .map(_ -> {
                    ContentDigest.Checksums sums = digest.finish();
                    checkSent(request, sums);
                    return sums;
                })
                .onFailure(_ -> {
                    request.resume();
                    delete(content);
                });
    }

    private static Future<Void> write(HttpServerRequest request, AsyncFile file, ContentDigest digest, long wrongByte) {
        Promise<Void> received = Promise.promise();
        long[] position = {0};
        file.exceptionHandler(received::tryFail);
        file.drainHandler(_ -> request.resume());
        request.exceptionHandler(received::tryFail);
        request.handler((Buffer buffer) -> {
            byte[] bytes = buffer.getBytes();
            if (wrongByte >= position[0] && wrongByte < position[0] + bytes.length) {
                bytes[(int) (wrongByte - position[0])] ^= -1;
            }
            position[0] += bytes.length;
            digest.update(ByteBuffer.wrap(bytes));
            file.write(Buffer.buffer(bytes)).onFailure(received::tryFail);
            if (file.writeQueueFull()) {
                request.pause();
            }
        });
        request.endHandler(_ -> received.tryComplete());
        request.resume();
        return received.future().eventually(() -> file.close());
    }

    private static void checkSent(HttpServerRequest request, ContentDigest.Checksums sums) {
        String md5 = request.getHeader("content-md5");
        if (md5 != null && !md5.equals(sums.md5())) {
            throw new ServiceException(
                    400, "UnmatchedContentMD5", "Content-MD5 is '" + md5 + "', the bytes give '" + sums.md5() + "'");
        }
        String crc = request.getHeader("opc-content-crc32c");
        if (crc != null && !crc.equals(sums.crc32c())) {
            throw new ServiceException(
                    400,
                    "InvalidChecksum",
                    "opc-content-crc32c is '" + crc + "', the bytes give '" + sums.crc32c() + "'");
        }
    }

    private static void delete(Path file) {
        try {
            Files.deleteIfExists(file);
        } catch (IOException e) {
            throw new UncheckedIOException(e);
        }
    }

    private static MessageDigest md5() {
        try {
            return MessageDigest.getInstance("MD5");
        } catch (NoSuchAlgorithmException e) {
            throw new IllegalStateException("every Java platform has MD5", e);
        }
    }
}
