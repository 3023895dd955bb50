package io.penstock.loader.push;

import io.penstock.loader.source.BucketFolder;
import io.penstock.loader.verify.Checksum;
import io.penstock.model.ErrorCategory;
import io.penstock.model.PenstockException;
import java.net.http.HttpHeaders;
import java.util.List;
import java.util.Optional;
import java.util.function.Supplier;

/// Uploads below one prefix of a bucket, by the API that it is reached by.
sealed interface BucketUploads permits OciUploads, S3Uploads {
    /// An object that is there.
    ///
    /// @param crc32c of the whole, where the service tells it
    record Stored(long size, String etag, Optional<Checksum> crc32c) {}

    /// A multipart upload that was begun.
    ///
    /// @param checksums whether it was begun with the wish for a checksum of the whole
    record Upload(String object, String id, boolean checksums) {}

    /// A part that has arrived.
    ///
    /// @param md5 base64, empty where the service does not tell it
    record Part(int number, String etag, String md5, long size) {}

    /// What an object is to hold.
    ///
    /// @param md5s of its parts, base64, in their order; none where [#wantsMd5] says so
    record Content(long size, Checksum crc32c, List<String> md5s) {}

    /// Whether an object holds what it is to hold.
    enum Likeness {
        SAME,
        DIFFERENT,
        /// The service does not tell.
        UNKNOWN;

        static Likeness of(Optional<Checksum> told, Checksum wanted) {
            return told.map(sum -> sum.equals(wanted) ? SAME : DIFFERENT).orElse(UNKNOWN);
        }
    }

    BucketFolder folder();

    /// @return the object of a file
    default String object(String name) {
        return folder().prefix().isEmpty() ? name : folder().prefix() + "/" + name;
    }

    /// @return the object, as messages name it
    default String place(String object) {
        return folder().place(object);
    }

    /// @throws PenstockException CORRUPT where the answer has none
    default String etag(String object, HttpHeaders headers) {
        return headers.firstValue("etag")
                .orElseThrow(() ->
                        new PenstockException(ErrorCategory.CORRUPT, "%s: the answer has no ETag", place(object)));
    }

    /// @return what the call gives; empty where the service says that what it is about is not there
    static <T> Optional<T> ifThere(Supplier<T> call) {
        try {
            return Optional.of(call.get());
        } catch (PenstockException e) {
            if (e.category() == ErrorCategory.NOT_FOUND) {
                return Optional.empty();
            }
            throw e;
        }
    }

    /// Whether a PUT here needs the MD5 of its bytes.
    boolean wantsMd5();

    /// The service's word for a part that is not, or no longer, what a commit says.
    String invalidPartCode();

    /// @return empty when there is no such object
    Optional<Stored> head(String object);

    void delete(String object);

    /// @return those below the prefix that were begun and have not ended
    List<Upload> begun();

    List<Part> parts(Upload upload);

    Upload begin(String object);

    /// Ends an upload without an object; one that has ended stays as it is.
    void abort(Upload upload);

    /// One attempt.
    ///
    /// @param sums of the region; the service refuses bytes that do not give them
    /// @return the part's ETag
    String putPart(Upload upload, int number, FileRegion region, FileRegion.Sums sums);

    /// One attempt to put a whole object.
    Stored putObject(String object, FileRegion region, long size, FileRegion.Sums sums);

    /// Makes an object of the parts, in their order.
    ///
    /// @return empty when the upload is no longer there: an earlier attempt may have done it
    Optional<Stored> commit(Upload upload, List<String> etags, Content content);

    /// Whether [#compare] can know, so that it is worth the reading of a file of so many parts.
    boolean tells(Stored stored, int parts);

    Likeness compare(Stored stored, Content content);
}
