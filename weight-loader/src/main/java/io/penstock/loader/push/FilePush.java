package io.penstock.loader.push;

import io.penstock.loader.push.BucketUploads.Content;
import io.penstock.loader.push.BucketUploads.Likeness;
import io.penstock.loader.push.BucketUploads.Part;
import io.penstock.loader.push.BucketUploads.Stored;
import io.penstock.loader.push.BucketUploads.Upload;
import io.penstock.loader.source.Failures;
import io.penstock.loader.source.RemoteHttp;
import io.penstock.loader.source.ServiceFailure;
import io.penstock.loader.verify.Checksum;
import io.penstock.loader.verify.Manifest;
import io.penstock.loader.verify.PieceChecksums;
import io.penstock.model.ErrorCategory;
import io.penstock.model.PenstockException;
import java.util.ArrayList;
import java.util.List;
import java.util.Map;
import java.util.Optional;
import java.util.concurrent.ExecutionException;
import java.util.concurrent.ExecutorService;
import java.util.concurrent.Future;
import java.util.concurrent.atomic.AtomicLong;
import java.util.function.Function;
import java.util.stream.Collectors;

/// One file on its way into a bucket: not at all where it lies there with the same bytes, else whole or in parts; of
/// parts that an earlier push has left, those with the same bytes stay.
final class FilePush {
    private final LocalFile file;
    private final String object;
    private final BucketUploads uploads;
    private final PushSettings settings;
    private final Push.Count count;
    private final RemoteHttp http;
    private final int[] sums;
    private final String[] md5s;
    private final AtomicLong bytesSent = new AtomicLong();
    private final AtomicLong bytesThere = new AtomicLong();

    FilePush(LocalFile file, BucketUploads uploads, PushSettings settings, Push.Count count, RemoteHttp http) {
        this.file = file;
        this.object = uploads.object(file.name().value());
        this.uploads = uploads;
        this.settings = settings;
        this.count = count;
        this.http = http;
        this.sums = new int[Math.toIntExact(Math.ceilDiv(file.size(), settings.pieceSize()))];
        this.md5s = new String[Math.toIntExact(Math.ceilDiv(file.size(), settings.partSize(file.size())))];
    }

    /// Blocks.
    ///
    /// @param begun uploads of this object that have not ended
    /// @param threads for its parts
    /// @return what the manifest says of it
    Manifest.Entry run(List<Upload> begun, ExecutorService threads) throws InterruptedException {
        Optional<Stored> there = uploads.head(object)
                .filter(stored -> stored.size() == file.size() && uploads.tells(stored, md5s.length));
        if (there.isPresent()) {
            forParts(threads, slice -> sums(slice, region(slice), uploads.wantsMd5()));
            if (uploads.compare(there.get(), content()) == Likeness.SAME) {
                file.checkUnchanged();
                there(file.size());
                return entry(there.get());
            }
        }
        Stored stored = file.size() <= settings.partSize() ? putWhole() : putParts(begun, threads);
        file.checkUnchanged();
        return entry(checked(stored));
    }

    private void sent(long bytes) {
        bytesSent.addAndGet(bytes);
        count.sent(bytes);
    }

    private void there(long bytes) {
        bytesThere.addAndGet(bytes);
        count.there(bytes);
    }

    /// @return bytes of the file that have been sent
    long bytesSent() {
        return bytesSent.get();
    }

    /// @return bytes of the file that were in the bucket already
    long bytesThere() {
        return bytesThere.get();
    }

    private PieceChecksums pieces() {
        return new PieceChecksums(settings.pieceSize(), sums);
    }

    private Checksum checksum() {
        return new Checksum.Crc32cSum(pieces().combined(file.size()));
    }

    private Content content() {
        return new Content(file.size(), checksum(), uploads.wantsMd5() ? List.of(md5s) : List.of());
    }

    private Manifest.Entry entry(Stored stored) {
        return new Manifest.Entry(file.size(), pieces(), Optional.of(stored.etag()));
    }

    private Stored checked(Stored stored) {
        Stored told = stored.crc32c().isPresent()
                ? stored
                : uploads.head(object)
                        .orElseThrow(() -> new PenstockException(
                                ErrorCategory.UNAVAILABLE, "%s is gone right after its upload", uploads.place(object)));
        if (told.size() != file.size() || uploads.compare(told, content()) == Likeness.DIFFERENT) {
            uploads.delete(object);
            throw new PenstockException(
                    ErrorCategory.CORRUPT,
                    "%s: the service has %d bytes of %s, the file has %d of %s; what was uploaded is deleted",
                    uploads.place(object),
                    told.size(),
                    told.crc32c().map(Checksum::text).orElse("no checksum"),
                    file.size(),
                    checksum().text());
        }
        return told;
    }

    private record Slice(int number, long offset, long length) {}

    private <T> List<T> forParts(ExecutorService threads, Function<Slice, T> work) throws InterruptedException {
        long partSize = settings.partSize(file.size());
        List<Future<T>> futures = new ArrayList<>();
        for (long offset = 0; offset < file.size(); offset += partSize) {
            Slice slice = new Slice((int) (offset / partSize) + 1, offset, Math.min(partSize, file.size() - offset));
            futures.add(threads.submit(() -> work.apply(slice)));
        }
        List<T> results = new ArrayList<>();
        try {
            for (Future<T> future : futures) {
                results.add(future.get());
            }
        } catch (ExecutionException e) {
            throw Failures.of(e.getCause(), file.path());
        } finally {
            // After a failure the others have nothing left to do.
            futures.forEach(future -> future.cancel(true));
        }
        return results;
    }

    private FileRegion region(Slice slice) {
        return new FileRegion(file.path(), slice.offset(), slice.length());
    }

    private FileRegion.Sums sums(Slice slice, FileRegion region, boolean withMd5) {
        FileRegion.Sums found = region.sums(settings.pieceSize(), withMd5);
        int first = (int) (slice.offset() / settings.pieceSize());
        System.arraycopy(found.pieces(), 0, sums, first, found.pieces().length);
        if (withMd5 && slice.length() > 0) {
            md5s[slice.number() - 1] = found.md5();
        }
        return found;
    }

    private Stored putWhole() {
        Slice whole = new Slice(1, 0, file.size());
        Stored stored = http.retry().call(uploads.place(object), Stored.class, () -> {
            FileRegion region = region(whole);
            return uploads.putObject(object, region, file.size(), sums(whole, region, uploads.wantsMd5()));
        });
        sent(file.size());
        return stored;
    }

    private Stored putParts(List<Upload> begun, ExecutorService threads) throws InterruptedException {
        Upload upload = begun.isEmpty() ? uploads.begin(object) : begun.getFirst();
        Optional<Stored> stored;
        try {
            stored = commit(upload, begun.isEmpty() ? Map.of() : parts(upload), threads, true);
        } catch (ServiceFailure e) {
            // What a process sent before it was killed may arrive behind ours: once more, of what is there now.
            if (begun.isEmpty() || !e.code().equals(uploads.invalidPartCode())) {
                throw e;
            }
            stored = commit(upload, parts(upload), threads, false);
        }
        return stored.or(() -> uploads.head(object))
                .orElseThrow(() -> new PenstockException(
                        ErrorCategory.UNAVAILABLE,
                        "%s: its upload was ended by someone else; push again",
                        uploads.place(object)));
    }

    private Map<Integer, Part> parts(Upload upload) {
        return uploads.parts(upload).stream().collect(Collectors.toMap(Part::number, part -> part));
    }

    /// @param have parts that are there
    /// @param counts whether they are told of
    private Optional<Stored> commit(Upload upload, Map<Integer, Part> have, ExecutorService threads, boolean counts)
            throws InterruptedException {
        List<String> etags = forParts(
                threads, slice -> putPart(upload, slice, Optional.ofNullable(have.get(slice.number())), counts));
        try {
            file.checkUnchanged();
        } catch (PenstockException e) {
            uploads.abort(upload);
            throw e;
        }
        return uploads.commit(upload, etags, content());
    }

    private String putPart(Upload upload, Slice slice, Optional<Part> had, boolean counts) {
        Optional<Part> candidate = had.filter(part -> part.size() == slice.length());
        if (candidate.isPresent()
                && sums(slice, region(slice), true).md5().equals(candidate.get().md5())) {
            if (counts) {
                there(slice.length());
            }
            return candidate.get().etag();
        }
        String etag = http.retry().call(uploads.place(object) + " part " + slice.number(), String.class, () -> {
            FileRegion region = region(slice);
            return uploads.putPart(upload, slice.number(), region, sums(slice, region, uploads.wantsMd5()));
        });
        sent(slice.length());
        return etag;
    }
}
