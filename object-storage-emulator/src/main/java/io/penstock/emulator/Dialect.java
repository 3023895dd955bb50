package io.penstock.emulator;

import io.vertx.core.http.HttpServerRequest;
import io.vertx.core.http.HttpServerResponse;
import io.vertx.core.json.JsonObject;
import java.util.Base64;
import java.util.HexFormat;
import java.util.Map;

/// The two APIs by which the same objects are reached, where they say the same thing in other words.
enum Dialect {
    /// OCI's own.
    NATIVE {
        @Override
        String etag(StoredObject object) {
            return object.etag();
        }

        @Override
        String etag(UploadStore.Part part) {
            return part.etag();
        }

        @Override
        HttpServerResponse describe(HttpServerRequest request, StoredObject object) {
            HttpServerResponse response = request.response();
            object.crc32c().ifPresent(crc -> response.putHeader("opc-content-crc32c", crc));
            return response.putHeader(object.multipart() ? "opc-multipart-md5" : "content-md5", object.md5())
                    .putHeader("storage-tier", "Standard");
        }

        @Override
        void refuse(HttpServerRequest request, ServiceException refusal) {
            request.response()
                    .setStatusCode(refusal.status())
                    .putHeader("content-type", "application/json")
                    .end(new JsonObject()
                            .put("code", refusal.code())
                            .put("message", refusal.getMessage())
                            .encode());
        }
    },

    /// S3's. An ETag is the MD5 of the bytes, of a multipart object that of its parts' and their count.
    S3 {
        @Override
        String etag(StoredObject object) {
            String[] digest = object.md5().split("-", 2);
            return quotedHex(digest[0], digest.length > 1 ? "-" + digest[1] : "");
        }

        @Override
        String etag(UploadStore.Part part) {
            return quotedHex(part.checksums().md5(), "");
        }

        @Override
        HttpServerResponse describe(HttpServerRequest request, StoredObject object) {
            HttpServerResponse response = request.response();
            if ("ENABLED".equalsIgnoreCase(request.getHeader("x-amz-checksum-mode"))
                    && request.getHeader("range") == null) {
                object.crc32c()
                        .ifPresent(crc -> response.putHeader("x-amz-checksum-crc32c", crc)
                                .putHeader("x-amz-checksum-type", "FULL_OBJECT"));
            }
            return response;
        }

        @Override
        void refuse(HttpServerRequest request, ServiceException refusal) {
            String code = CODES.getOrDefault(refusal.code(), refusal.code());
            // Of credentials that have expired this API has another status, too.
            int status = refusal.code().equals("NotAuthenticated") ? 400 : refusal.status();
            request.response()
                    .setStatusCode(status)
                    .putHeader("content-type", "application/xml")
                    .end(new Xml("Error")
                            .text("Code", code)
                            .text("Message", refusal.getMessage())
                            .end());
        }
    };

    private static final Map<String, String> CODES = Map.ofEntries(
            Map.entry("NotAuthenticated", "ExpiredToken"),
            Map.entry("ObjectNotFound", "NoSuchKey"),
            Map.entry("BucketNotFound", "NoSuchBucket"),
            Map.entry("IfMatchFailed", "PreconditionFailed"),
            Map.entry("IfNoneMatchFailed", "PreconditionFailed"),
            Map.entry("InvalidUploadPart", "InvalidPart"),
            Map.entry("InvalidUploadPartOrder", "InvalidPartOrder"),
            Map.entry("InvalidParameter", "InvalidArgument"),
            Map.entry("UnmatchedContentMD5", "BadDigest"),
            Map.entry("InvalidChecksum", "BadDigest"),
            Map.entry("InternalServerError", "InternalError"),
            Map.entry("TooManyRequests", "SlowDown"));

    static Dialect of(HttpServerRequest request) {
        String authorization = request.getHeader("authorization");
        return authorization != null && authorization.startsWith(S3Signatures.SCHEME) ? S3 : NATIVE;
    }

    private static String quotedHex(String base64, String more) {
        return '"' + HexFormat.of().formatHex(Base64.getDecoder().decode(base64)) + more + '"';
    }

    /// As it is in headers.
    abstract String etag(StoredObject object);

    abstract String etag(UploadStore.Part part);

    /// Sets the headers that are this API's own.
    abstract HttpServerResponse describe(HttpServerRequest request, StoredObject object);

    abstract void refuse(HttpServerRequest request, ServiceException refusal);
}
