package io.penstock.emulator;

import io.penstock.emulator.UploadStore.Choice;
import io.penstock.emulator.UploadStore.Multipart;
import io.vertx.core.Future;
import io.vertx.core.buffer.Buffer;
import io.vertx.core.http.HttpServerRequest;
import java.net.URLEncoder;
import java.nio.charset.StandardCharsets;
import java.time.Clock;
import java.util.HexFormat;
import java.util.List;
import java.util.Locale;
import java.util.Map;
import java.util.NavigableMap;
import java.util.Optional;

/// The API of S3 over the same buckets, as OCI's compatible endpoint has it: path style, signatures of version 4.
///
/// Parts may be smaller than the 5 MiB that the service wants of all but the last.
final class S3Service {
    private static final int MAX_BODY = 4 << 20;
    private static final int MAX_KEYS = 1000;

    private final ObjectStore store;
    private final ObjectReads reads;
    private final UploadStore uploads;
    private final WriteFaults faults;
    private volatile boolean knowsChecksums = true;
    private final S3Signatures signatures = new S3Signatures(Clock.systemUTC());

    S3Service(ObjectStore store, ObjectReads reads, UploadStore uploads, WriteFaults faults) {
        this.store = store;
        this.reads = reads;
        this.uploads = uploads;
        this.faults = faults;
    }

    S3Signatures signatures() {
        return signatures;
    }

    /// From now on a header that asks for or has a checksum is one that it does not know.
    void forgetChecksums() {
        knowsChecksums = false;
    }

    Future<Void> handle(HttpServerRequest request) {
        signatures.verify(request);
        if (!knowsChecksums
                && request.headers().names().stream()
                        .anyMatch(name -> name.toLowerCase(Locale.ROOT).startsWith("x-amz-checksum-"))) {
            throw new ServiceException(501, "NotImplemented", "A header you provided is not implemented");
        }
        ObjectPath path = ObjectPath.parseS3(request.uri());
        boolean ofUpload = request.params().contains("uploadId");
        String operation = request.method().name()
                + (path.object().isEmpty() ? " bucket" : " object")
                + (request.params().contains("uploads") ? " uploads" : "")
                + (ofUpload ? " upload" : "");
        return switch (operation) {
            case "GET bucket" -> list(request, path);
            case "HEAD bucket" -> {
                store.bucket(path.bucket());
                yield request.response().end();
            }
            case "PUT bucket" -> {
                store.createBucket(path.bucket());
                yield request.response().end();
            }
            case "GET object" -> reads.get(request, path);
            case "HEAD object" -> reads.head(request, path);
            case "PUT object" -> putObject(request, path);
            case "DELETE object" -> {
                // Of what is not there, too, it says that it is gone.
                if (store.bucket(path.bucket()).containsKey(path.object())) {
                    store.delete(path.bucket(), path.object());
                }
                yield request.response().setStatusCode(204).end();
            }
            case "GET bucket uploads" -> listUploads(request, path);
            case "POST object uploads" -> create(request, path);
            case "PUT object upload" -> putPart(request, path);
            case "GET object upload" -> listParts(request, path);
            case "POST object upload" -> request.body().compose(body -> commit(request, path, text(request, body)));
            case "DELETE object upload" -> {
                uploads.multipart(request, path);
                uploads.discard(request.getParam("uploadId"));
                yield request.response().setStatusCode(204).end();
            }
            default -> throw new ServiceException(405, "MethodNotAllowed", "No operation is " + operation);
        };
    }

    private Future<Void> list(HttpServerRequest request, ObjectPath path) {
        if (!"2".equals(request.getParam("list-type"))) {
            throw new ServiceException(501, "NotImplemented", "Objects are listed by version 2 only");
        }
        String prefix = parameter(request, "prefix");
        String after = request.params().contains("continuation-token")
                ? request.getParam("continuation-token")
                : parameter(request, "start-after");
        int most = number(request, "max-keys", MAX_KEYS);
        boolean encoded = "url".equals(request.getParam("encoding-type"));
        List<StoredObject> found = store.bucket(path.bucket()).tailMap(after, false).values().stream()
                .filter(object -> object.name().startsWith(prefix))
                .limit(most + 1L)
                .toList();
        Xml xml = new Xml("ListBucketResult")
                .text("Name", path.bucket())
                .text("Prefix", encoded(prefix, encoded))
                .text("KeyCount", Math.min(most, found.size()))
                .text("MaxKeys", most)
                .text("IsTruncated", found.size() > most);
        if (encoded) {
            xml.text("EncodingType", "url");
        }
        if (found.size() > most) {
            xml.text("NextContinuationToken", found.get(most - 1).name());
        }
        found.stream()
                .limit(most)
                .forEach(object -> xml.group(
                        "Contents",
                        "Key",
                        encoded(object.name(), encoded),
                        "LastModified",
                        object.created(),
                        "ETag",
                        Dialect.S3.etag(object),
                        "Size",
                        object.size(),
                        "StorageClass",
                        "STANDARD"));
        return answer(request, xml);
    }

    private Future<Void> putObject(HttpServerRequest request, ObjectPath path) {
        ObjectWrite write = new ObjectWrite(ObjectWrite.Step.OBJECT, path.bucket(), path.object(), 0);
        boolean checksum = request.headers().contains("x-amz-checksum-crc32c");
        return faults.strike(
                request,
                write,
                wrongByte -> uploads.putObject(request, path, checksum, wrongByte)
                        .compose(object -> {
                            object.crc32c()
                                    .ifPresent(crc -> request.response().putHeader("x-amz-checksum-crc32c", crc));
                            return request.response()
                                    .putHeader("etag", Dialect.S3.etag(object))
                                    .end();
                        }));
    }

    private Future<Void> create(HttpServerRequest request, ObjectPath path) {
        String algorithm = request.getHeader("x-amz-checksum-algorithm");
        if (algorithm != null && !algorithm.equals("CRC32C")) {
            throw new ServiceException(501, "NotImplemented", "The only checksum here is CRC32C, not " + algorithm);
        }
        // Without a type it is one of the parts' checksums, of which nothing is kept here.
        boolean whole = "FULL_OBJECT".equals(request.getHeader("x-amz-checksum-type"));
        String id = uploads.begin(path.bucket(), path.object(), whole);
        return answer(
                request,
                new Xml("InitiateMultipartUploadResult")
                        .text("Bucket", path.bucket())
                        .text("Key", path.object())
                        .text("UploadId", id));
    }

    private Future<Void> putPart(HttpServerRequest request, ObjectPath path) {
        Multipart multipart = uploads.multipart(request, path);
        int number = UploadStore.partNumber(request.getParam("partNumber"));
        ObjectWrite write = new ObjectWrite(ObjectWrite.Step.PART, path.bucket(), path.object(), number);
        return faults.strike(
                request,
                write,
                wrongByte -> uploads.putPart(request, multipart, number, wrongByte)
                        .compose(part -> request.response()
                                .putHeader("etag", Dialect.S3.etag(part))
                                .end()));
    }

    private Future<Void> commit(HttpServerRequest request, ObjectPath path, String body) {
        List<Choice> choices = Xml.groups(body, "Part").stream()
                .map(part ->
                        new Choice(UploadStore.partNumber(part.get("PartNumber")), String.valueOf(part.get("ETag"))))
                .toList();
        ObjectWrite write = new ObjectWrite(ObjectWrite.Step.COMMIT, path.bucket(), path.object(), 0);
        Optional<String> whole = Optional.ofNullable(request.getHeader("x-amz-checksum-crc32c"));
        return faults.strike(
                        request,
                        write,
                        _ -> uploads.join(request, path, choices, whole)
                                .compose(object -> answer(
                                        request,
                                        new Xml("CompleteMultipartUploadResult")
                                                .text("Bucket", path.bucket())
                                                .text("Key", path.object())
                                                .text("ETag", Dialect.S3.etag(object)))))
                .recover(failure -> {
                    // The service has begun its answer by then: what fails inside it comes with a 200.
                    if (failure instanceof ServiceException refusal && refusal.status() == 500) {
                        return answer(
                                request,
                                new Xml("Error").text("Code", "InternalError").text("Message", refusal.getMessage()));
                    }
                    return Future.failedFuture(failure);
                });
    }

    private Future<Void> listUploads(HttpServerRequest request, ObjectPath path) {
        String prefix = parameter(request, "prefix");
        NavigableMap<String, Multipart> begun =
                uploads.begun(path.bucket()).tailMap(parameter(request, "upload-id-marker"), false);
        int most = number(request, "max-uploads", MAX_KEYS);
        List<Map.Entry<String, Multipart>> found = begun.entrySet().stream()
                .filter(entry -> entry.getValue().object().startsWith(prefix))
                .limit(most + 1L)
                .toList();
        Xml xml = new Xml("ListMultipartUploadsResult")
                .text("Bucket", path.bucket())
                .text("IsTruncated", found.size() > most);
        if (found.size() > most) {
            xml.text("NextKeyMarker", found.get(most - 1).getValue().object())
                    .text("NextUploadIdMarker", found.get(most - 1).getKey());
        }
        found.stream()
                .limit(most)
                .forEach(entry -> xml.group(
                        "Upload",
                        "Key",
                        entry.getValue().object(),
                        "UploadId",
                        entry.getKey(),
                        "Initiated",
                        entry.getValue().created(),
                        "ChecksumAlgorithm",
                        entry.getValue().checksum() ? "CRC32C" : ""));
        return answer(request, xml);
    }

    private Future<Void> listParts(HttpServerRequest request, ObjectPath path) {
        int after = number(request, "part-number-marker", 0);
        int most = number(request, "max-parts", MAX_KEYS);
        List<Map.Entry<Integer, UploadStore.Part>> parts =
                uploads.multipart(request, path).parts().tailMap(after, false).entrySet().stream()
                        .limit(most + 1L)
                        .toList();
        Xml xml = new Xml("ListPartsResult")
                .text("Bucket", path.bucket())
                .text("Key", path.object())
                .text("UploadId", request.getParam("uploadId"))
                .text("IsTruncated", parts.size() > most);
        if (parts.size() > most) {
            xml.text("NextPartNumberMarker", parts.get(most - 1).getKey());
        }
        parts.stream()
                .limit(most)
                .forEach(part -> xml.group(
                        "Part",
                        "PartNumber",
                        part.getKey(),
                        "ETag",
                        Dialect.S3.etag(part.getValue()),
                        "Size",
                        part.getValue().checksums().length()));
        return answer(request, xml);
    }

    private static String text(HttpServerRequest request, Buffer body) {
        if (body.length() > MAX_BODY) {
            throw new ServiceException(400, "MaxMessageLengthExceeded", "The body is longer than " + MAX_BODY);
        }
        String sent = request.getHeader("x-amz-content-sha256");
        String found = HexFormat.of().formatHex(Emulator.sha256(body.getBytes()));
        if (!sent.equals("UNSIGNED-PAYLOAD") && !sent.equals(found)) {
            throw new ServiceException(400, "XAmzContentSHA256Mismatch", "x-amz-content-sha256 is not the body's");
        }
        return body.toString(StandardCharsets.UTF_8);
    }

    private static Future<Void> answer(HttpServerRequest request, Xml xml) {
        return request.response().putHeader("content-type", "application/xml").end(xml.end());
    }

    private static String parameter(HttpServerRequest request, String name) {
        return request.params().contains(name) ? request.getParam(name) : "";
    }

    private static int number(HttpServerRequest request, String name, int otherwise) {
        String text = request.getParam(name);
        if (text == null) {
            return otherwise;
        }
        if (!text.matches("\\d{1,4}") || Integer.parseInt(text) > MAX_KEYS) {
            throw ServiceException.invalid(name + " is up to " + MAX_KEYS + ", not " + text);
        }
        return Integer.parseInt(text);
    }

    private static String encoded(String text, boolean encode) {
        return encode ? URLEncoder.encode(text, StandardCharsets.UTF_8).replace("+", "%20") : text;
    }
}
