package io.penstock.loader.source;

import io.penstock.model.ErrorCategory;
import io.penstock.model.PenstockException;
import java.net.URLEncoder;
import java.nio.charset.StandardCharsets;
import java.util.Optional;

/// The objects of a bucket below a prefix, or the one object that the prefix names.
///
/// @param place the bucket, as messages name it
/// @param target the bucket in a request's path; objects follow a slash
/// @param prefix without a slash at its end; empty for the whole bucket
record BucketFolder(String place, String target, String prefix) {
    /// Empty for what only shares the beginning of the name, and for consoles' folder marks, which end in a slash.
    Optional<FileName> name(String object) {
        String folder = prefix.isEmpty() ? "" : prefix + "/";
        if (object.equals(prefix)) {
            return Optional.of(new FileName(object.substring(object.lastIndexOf('/') + 1)));
        }
        return object.startsWith(folder) && !object.endsWith("/")
                ? Optional.of(new FileName(object.substring(folder.length())))
                : Optional.empty();
    }

    /// The object in messages, and in [#contentId].
    String place(String object) {
        return place + "/" + object;
    }

    String target(String object) {
        StringBuilder whole = new StringBuilder(target);
        for (String segment : object.split("/", -1)) {
            whole.append('/').append(encode(segment));
        }
        return whole.toString();
    }

    /// What a file of this bucket is known by: the object and its ETag.
    String contentId(String object, String etag) {
        return place(object) + "#" + etag;
    }

    /// The object of a file that was named by [#contentId].
    String object(RemoteFile file) {
        String id = file.contentId();
        return id.substring(
                place.length() + 1, id.length() - file.etag().orElseThrow().length() - 1);
    }

    static PenstockException missing(String what, String header) {
        return new PenstockException(ErrorCategory.CORRUPT, "%s: the answer has no %s", what, header);
    }

    /// Leaves what RFC 3986 leaves: letters, digits, `-`, `.`, `_`; signatures want it so.
    static String encode(String text) {
        return URLEncoder.encode(text, StandardCharsets.UTF_8)
                .replace("+", "%20")
                .replace("*", "%2A");
    }
}
