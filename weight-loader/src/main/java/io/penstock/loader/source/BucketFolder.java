package io.penstock.loader.source;

import io.penstock.loader.verify.Checksum;
import io.penstock.loader.verify.Manifest;
import io.penstock.loader.verify.PieceChecksums;
import io.penstock.model.ErrorCategory;
import io.penstock.model.PenstockException;
import java.net.URLEncoder;
import java.nio.charset.StandardCharsets;
import java.util.ArrayList;
import java.util.List;
import java.util.Map;
import java.util.Optional;
import java.util.concurrent.Callable;
import java.util.function.BiFunction;
import java.util.function.Function;
import java.util.stream.Collectors;

/// The objects of a bucket below a prefix, or the one object that the prefix names.
///
/// @param place the bucket, as messages name it
/// @param target the bucket in a request's path; objects follow a slash
/// @param prefix without a slash at its end; empty for the whole bucket
public record BucketFolder(String place, String target, String prefix) {
    private static final int HEADS_AT_ONCE = 16;

    /// A folder of a bucket by OCI's native API.
    public static BucketFolder oci(String namespace, String bucket, String prefix) {
        return new BucketFolder(
                "oci://" + namespace + "/" + bucket, "/n/" + encode(namespace) + "/b/" + encode(bucket) + "/o", prefix);
    }

    /// A folder of a bucket by S3's API, whose paths name buckets.
    public static BucketFolder s3(String bucket, String prefix) {
        return new BucketFolder("s3://" + bucket, "/" + encode(bucket), prefix);
    }

    /// An object of the folder as a listing shows it.
    ///
    /// @param etag as a GET's header has it
    record Listed(FileName name, String object, long size, String etag) {
        boolean isManifest() {
            return name.value().equals(Manifest.NAME);
        }
    }

    /// The files of a folder that was listed: those that its manifest makes a revision of, or else all, each asked
    /// about by itself.
    ///
    /// @param read gets a small object's bytes
    /// @param ask finds out about one file; entries of the manifest go with it where there are any
    List<RemoteFile> files(
            List<Listed> listed,
            Function<Listed, byte[]> read,
            BiFunction<Listed, Optional<Manifest>, RemoteFile> ask) {
        Optional<Manifest> manifest = listed.stream()
                .filter(Listed::isManifest)
                .findFirst()
                .map(found -> Manifest.parse(new String(read.apply(found), StandardCharsets.UTF_8)));
        List<Listed> others =
                listed.stream().filter(found -> !found.isManifest()).toList();
        return manifest.isPresent() && manifest.get().isRevision()
                ? pinned(others, manifest.get())
                : Failures.allOf(
                        place,
                        HEADS_AT_ONCE,
                        others.stream()
                                .<Callable<RemoteFile>>map(found -> () -> ask.apply(found, manifest))
                                .toList());
    }

    private List<RemoteFile> pinned(List<Listed> listed, Manifest manifest) {
        Map<String, Listed> there =
                listed.stream().collect(Collectors.toMap(found -> found.name().value(), found -> found));
        List<RemoteFile> files = new ArrayList<>();
        manifest.files().forEach((name, entry) -> {
            Listed found = there.get(name);
            String etag = entry.etag().orElseThrow();
            if (found == null || found.size() != entry.size() || !found.etag().equals(etag)) {
                throw new PenstockException(
                        ErrorCategory.CORRUPT,
                        "%s: %s means %s of %d bytes and ETag '%s'; %s: push the folder again, or wait until that has ended",
                        place,
                        Manifest.NAME,
                        name,
                        entry.size(),
                        etag,
                        found == null
                                ? "it is not there"
                                : "now it has %d bytes and ETag '%s'".formatted(found.size(), found.etag()));
            }
            files.add(new RemoteFile(
                    found.name(),
                    entry.size(),
                    contentId(found.object(), etag),
                    Optional.of(etag),
                    Optional.of(new Checksum.Crc32cSum(entry.pieces().combined(entry.size()))),
                    Optional.of(entry.pieces())));
        });
        return files;
    }

    /// What a manifest knows of a file's pieces.
    static PieceChecksums pieces(Manifest manifest, FileName name, long size) {
        Manifest.Entry entry = manifest.files().get(name.value());
        if (entry == null || entry.size() != size) {
            throw new PenstockException(
                    ErrorCategory.CORRUPT,
                    "%s does not describe %s of %d bytes; write it again or remove it",
                    Manifest.NAME,
                    name,
                    size);
        }
        return entry.pieces();
    }

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
    public String place(String object) {
        return place + "/" + object;
    }

    public String target(String object) {
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
    public static String encode(String text) {
        return URLEncoder.encode(text, StandardCharsets.UTF_8)
                .replace("+", "%20")
                .replace("*", "%2A");
    }
}
