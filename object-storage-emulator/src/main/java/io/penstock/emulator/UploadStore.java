package io.penstock.emulator;

import io.vertx.core.Future;
import io.vertx.core.Promise;
import io.vertx.core.Vertx;
import io.vertx.core.buffer.Buffer;
import io.vertx.core.file.AsyncFile;
import io.vertx.core.file.OpenOptions;
import io.vertx.core.http.HttpServerRequest;
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
import java.util.TreeMap;
import java.util.UUID;
import java.util.concurrent.ConcurrentHashMap;
import java.util.concurrent.ConcurrentSkipListMap;

/// What uploads come to, by whichever API: bodies in files, and parts that are joined. Nothing of them stays in memory.
final class UploadStore {
    private static final int MAX_PARTS = 10_000;
    private static final int COPY_SIZE = 1 << 20;

    private final Vertx vertx;
    private final ObjectStore store;
    private final Map<String, Multipart> multiparts = new ConcurrentHashMap<>();

    UploadStore(Vertx vertx, ObjectStore store) {
        this.vertx = vertx;
        this.store = store;
    }

    /// @param checksum whether the whole object's CRC32C was asked for
    record Multipart(
            String bucket, String object, boolean checksum, Instant created, NavigableMap<Integer, Part> parts) {}

    record Part(Path content, String etag, ContentDigest.Checksums checksums) {}

    /// A part that is to be in the object.
    record Choice(int number, String etag) {}

    Future<StoredObject> putObject(HttpServerRequest request, ObjectPath path, boolean checksum, long wrongByte) {
        checkConditions(request, path.bucket(), path.object());
        Path content = store.newContent(path.bucket());
        return receive(request, content, wrongByte).map(sums -> {
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
            return object;
        });
    }

    /// @return the upload's name
    String begin(String bucket, String object, boolean checksum) {
        store.bucket(bucket);
        String id = UUID.randomUUID().toString();
        multiparts.put(id, new Multipart(bucket, object, checksum, Instant.now(), new ConcurrentSkipListMap<>()));
        return id;
    }

    Multipart multipart(HttpServerRequest request, ObjectPath path) {
        String id = String.valueOf(request.getParam("uploadId"));
        Multipart multipart = multiparts.get(id);
        if (multipart == null
                || !multipart.bucket().equals(path.bucket())
                || !multipart.object().equals(path.object())) {
            throw ServiceException.noUpload(id);
        }
        return multipart;
    }

    /// Those of a bucket that were begun and have not ended, by name.
    NavigableMap<String, Multipart> begun(String bucket) {
        store.bucket(bucket);
        NavigableMap<String, Multipart> found = new TreeMap<>();
        multiparts.forEach((id, upload) -> {
            if (upload.bucket().equals(bucket)) {
                found.put(id, upload);
            }
        });
        return found;
    }

    Future<Part> putPart(HttpServerRequest request, Multipart multipart, int number, long wrongByte) {
        Path content = store.newContent(multipart.bucket());
        return receive(request, content, wrongByte).map(sums -> {
            Part part = new Part(content, UUID.randomUUID().toString(), sums);
            Part old = multipart.parts().put(number, part);
            if (old != null) {
                delete(old.content());
            }
            return part;
        });
    }

    /// Makes an object of parts, in their order.
    ///
    /// @param crc32c of the whole, base64, where the client says it
    Future<StoredObject> join(
            HttpServerRequest request, ObjectPath path, List<Choice> choices, Optional<String> crc32c) {
        Multipart multipart = multipart(request, path);
        checkConditions(request, path.bucket(), path.object());
        List<Part> parts = chosen(Dialect.of(request), multipart, choices);
        return vertx.executeBlocking(() -> join(multipart, parts, crc32c), false)
                .map(object -> {
                    store.put(path.bucket(), object);
                    discard(request.getParam("uploadId"));
                    return object;
                });
    }

    void discard(String id) {
        Multipart multipart = multiparts.remove(id);
        if (multipart != null) {
            multipart.parts().values().forEach(part -> delete(part.content()));
        }
    }

    /// Adds a local file as an object with its checksum, as a client's upload would.
    ///
    /// @param whole whether the file itself becomes the object's, holes and all, or its bytes are copied
    StoredObject putFile(String bucket, String name, Path file, boolean whole) throws IOException {
        Path content = store.newContent(bucket);
        ContentDigest digest = new ContentDigest(false);
        if (whole) {
            Files.move(file, content);
            read(content, digest);
        } else {
            try (FileChannel to = FileChannel.open(content, StandardOpenOption.CREATE_NEW, StandardOpenOption.WRITE)) {
                append(file, to, digest);
            }
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

    private static void read(Path file, ContentDigest digest) throws IOException {
        ByteBuffer buffer = ByteBuffer.allocateDirect(COPY_SIZE);
        try (FileChannel from = FileChannel.open(file)) {
            while (from.read(buffer.clear()) > 0) {
                digest.update(buffer.flip());
            }
        }
    }

    private StoredObject join(Multipart multipart, List<Part> parts, Optional<String> crc32c) throws IOException {
        Path content = store.newContent(multipart.bucket());
        ContentDigest digest = new ContentDigest(false);
        MessageDigest digests = md5();
        try (FileChannel to = FileChannel.open(content, StandardOpenOption.CREATE_NEW, StandardOpenOption.WRITE)) {
            for (Part part : parts) {
                append(part.content(), to, digest);
                digests.update(Base64.getDecoder().decode(part.checksums().md5()));
            }
        }
        ContentDigest.Checksums sums = digest.finish();
        if (crc32c.isPresent() && !crc32c.get().equals(sums.crc32c())) {
            delete(content);
            throw new ServiceException(
                    400,
                    "InvalidChecksum",
                    "The whole is '" + crc32c.get() + "', the parts give '" + sums.crc32c() + "'");
        }
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

    private static List<Part> chosen(Dialect dialect, Multipart multipart, List<Choice> choices) {
        if (choices.isEmpty()) {
            throw ServiceException.invalid("there are no parts to commit");
        }
        List<Part> parts = new ArrayList<>();
        int last = 0;
        for (Choice choice : choices) {
            Part part = multipart.parts().get(choice.number());
            if (choice.number() <= last) {
                throw new ServiceException(
                        400, "InvalidUploadPartOrder", "Part " + choice.number() + " is out of order");
            }
            if (part == null
                    || !dialect.etag(part)
                            .replace("\"", "")
                            .equals(choice.etag().replace("\"", ""))) {
                throw new ServiceException(
                        400, "InvalidUploadPart", "Part " + choice.number() + " is not of this ETag");
            }
            parts.add(part);
            last = choice.number();
        }
        return parts;
    }

    static int partNumber(String text) {
        if (text == null || !text.matches("\\d{1,5}") || Integer.parseInt(text) < 1) {
            throw ServiceException.invalid("'" + text + "' is not a part number");
        }
        int number = Integer.parseInt(text);
        if (number > MAX_PARTS) {
            throw ServiceException.invalid("part " + number + " is beyond " + MAX_PARTS);
        }
        return number;
    }

    void checkConditions(HttpServerRequest request, String bucket, String name) {
        Dialect dialect = Dialect.of(request);
        StoredObject there = store.bucket(bucket).get(name);
        if ("*".equals(request.getHeader("if-none-match")) && there != null) {
            throw new ServiceException(412, "IfNoneMatchFailed", "The object '" + name + "' exists");
        }
        String wanted = request.getHeader("if-match");
        if (wanted != null && (there == null || !(wanted.equals("*") || wanted.equals(dialect.etag(there))))) {
            throw new ServiceException(412, "IfMatchFailed", "The ETag is not '" + wanted + "'");
        }
    }
    /// Writes the body to a new file; on any failure, of the checksums included, that file is gone again.
    private Future<ContentDigest.Checksums> receive(HttpServerRequest request, Path content, long wrongByte) {
        ContentDigest digest = new ContentDigest(signedDigest(request).isPresent());
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

    private static Optional<String> signedDigest(HttpServerRequest request) {
        return Optional.ofNullable(request.getHeader("x-amz-content-sha256"))
                .filter(value -> value.matches("[0-9a-f]{64}"));
    }

    private static void checkSent(HttpServerRequest request, ContentDigest.Checksums sums) {
        check(request, "content-md5", "UnmatchedContentMD5", sums.md5());
        check(request, "opc-content-crc32c", "InvalidChecksum", sums.crc32c());
        check(request, "x-amz-checksum-crc32c", "InvalidChecksum", sums.crc32c());
        signedDigest(request)
                .ifPresent(_ -> check(
                        request,
                        "x-amz-content-sha256",
                        "XAmzContentSHA256Mismatch",
                        sums.sha256().orElseThrow()));
    }

    private static void check(HttpServerRequest request, String header, String code, String found) {
        String sent = request.getHeader(header);
        if (sent != null && !sent.equals(found)) {
            throw new ServiceException(400, code, header + " is '" + sent + "', the bytes give '" + found + "'");
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
