package io.penstock.emulator;

import java.net.URLDecoder;
import java.nio.charset.StandardCharsets;
import java.util.Optional;

/// What the path of a request names, percent-decoded: `/n/{namespace}/b/{bucket}/{kind}/{object}`.
///
/// @param bucket empty for the collection of buckets
/// @param kind `o` for objects, `u` for multipart uploads, empty for the bucket itself
/// @param object empty for the collection; may hold slashes
record ObjectPath(String namespace, String bucket, String kind, String object) {
    private static final int SEGMENTS = 7;

    /// @param uri the request's target, with or without a query
    static ObjectPath parse(String uri) {
        int query = uri.indexOf('?');
        String[] segments = (query < 0 ? uri : uri.substring(0, query)).split("/", SEGMENTS);
        if (segments.length < 3 || !segments[0].isEmpty() || !segments[1].equals("n")) {
            throw unknown(uri);
        }
        if (segments.length > 3 && !segments[3].equals("b")) {
            throw unknown(uri);
        }
        String kind = segment(segments, 5);
        if (!kind.isEmpty() && !kind.equals("o") && !kind.equals("u")) {
            throw unknown(uri);
        }
        return new ObjectPath(segment(segments, 2), segment(segments, 4), kind, segment(segments, 6));
    }

    /// By the API of S3: `/{bucket}/{object}`.
    static ObjectPath parseS3(String uri) {
        int query = uri.indexOf('?');
        String[] segments = (query < 0 ? uri : uri.substring(0, query)).split("/", 3);
        if (segments.length < 2 || segment(segments, 1).isEmpty()) {
            throw new ServiceException(501, "NotImplemented", "Buckets are not listed here");
        }
        return new ObjectPath("", segment(segments, 1), "o", segment(segments, 2));
    }

    /// A pre-authenticated request: `/p/{token}` before an ordinary path.
    ///
    /// @param target the ordinary path and query
    record Preauthenticated(String token, String target) {
        static Optional<Preauthenticated> parse(String uri) {
            int end = uri.startsWith("/p/") ? uri.indexOf('/', 3) : -1;
            return end < 0
                    ? Optional.empty()
                    : Optional.of(new Preauthenticated(uri.substring(3, end), uri.substring(end)));
        }
    }

    private static String segment(String[] segments, int index) {
        // A plus sign stands for itself in a path.
        return segments.length <= index
                ? ""
                : URLDecoder.decode(segments[index].replace("+", "%2B"), StandardCharsets.UTF_8);
    }

    private static ServiceException unknown(String uri) {
        return new ServiceException(404, "NotFound", "No operation has the path '" + uri + "'");
    }
}
