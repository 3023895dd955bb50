package io.penstock.emulator;

import io.vertx.core.json.JsonObject;
import java.nio.file.Path;
import java.time.Instant;
import java.util.Optional;

/// One version of an object: immutable, so a read that has begun keeps its bytes when the object is
/// replaced.
///
/// @param content the file that holds the bytes
/// @param size in bytes
/// @param etag fresh with each upload
/// @param md5 base64; of a multipart object the digest over its parts' digests, then `-` and their count
/// @param multipart whether it came by a multipart upload
/// @param crc32c base64 over the whole object; kept only when the upload asked for it, as the service does
record StoredObject(
        String name,
        Path content,
        long size,
        String etag,
        String md5,
        boolean multipart,
        Optional<String> crc32c,
        Instant created) {

    JsonObject toJson() {
        return new JsonObject()
                .put("name", name)
                .put("content", content.getFileName().toString())
                .put("size", size)
                .put("etag", etag)
                .put("md5", md5)
                .put("multipart", multipart)
                .put("crc32c", crc32c.orElse(null))
                .put("created", created);
    }

    static StoredObject fromJson(JsonObject json, Path folder) {
        return new StoredObject(
                json.getString("name"),
                folder.resolve(json.getString("content")),
                json.getLong("size"),
                json.getString("etag"),
                json.getString("md5"),
                json.getBoolean("multipart"),
                Optional.ofNullable(json.getString("crc32c")),
                json.getInstant("created"));
    }
}
