package io.penstock.loader.push;

import io.opentelemetry.api.trace.Span;
import io.opentelemetry.api.trace.StatusCode;
import io.opentelemetry.api.trace.Tracer;
import io.penstock.loader.catalog.SourceAddress;
import io.penstock.loader.push.BucketUploads.Upload;
import io.penstock.loader.source.BucketFolder;
import io.penstock.loader.source.Failures;
import io.penstock.loader.source.OciAccount;
import io.penstock.loader.source.OciSource;
import io.penstock.loader.source.RemoteHttp;
import io.penstock.loader.source.Renewable;
import io.penstock.loader.source.S3Account;
import io.penstock.loader.source.S3Source;
import io.penstock.loader.source.Source;
import io.penstock.loader.transfer.LoaderMetrics;
import io.penstock.loader.verify.Manifest;
import io.penstock.model.ErrorCategory;
import io.penstock.model.PenstockException;
import java.io.IOException;
import java.nio.file.Files;
import java.nio.file.Path;
import java.util.ArrayList;
import java.util.LinkedHashMap;
import java.util.List;
import java.util.Map;
import java.util.concurrent.ExecutionException;
import java.util.concurrent.ExecutorService;
import java.util.concurrent.Executors;
import java.util.concurrent.Future;
import java.util.concurrent.atomic.AtomicLong;

/// Copies local checkpoints into a bucket, with the checksums that later verify them: files first, each whole or not
/// at all, then a [Manifest] that makes one revision of them.
///
/// The bucket is all the memory there is of a push: what is killed or fails is gone on with by the same call, which
/// finds the files and parts that are there already.
public final class Push {
    private static final int FILES_AT_ONCE = 8;

    private final RemoteHttp http;
    private final Renewable<OciAccount> oci;
    private final Renewable<S3Account> s3;
    private final PushSettings settings;
    private final LoaderMetrics metrics;
    private final Tracer tracer;

    public Push(
            RemoteHttp http,
            Renewable<OciAccount> oci,
            Renewable<S3Account> s3,
            PushSettings settings,
            LoaderMetrics metrics,
            Tracer tracer) {
        this.http = http;
        this.oci = oci;
        this.s3 = s3;
        this.settings = settings;
        this.metrics = metrics;
        this.tracer = tracer;
    }

    /// Hears how it goes, from many threads.
    @FunctionalInterface
    public interface Listener {
        /// @param done bytes that are in the bucket, sent now or before
        void progress(long done, long total);
    }

    /// @param revision as its source tells it from now on
    /// @param sent bytes that were sent
    /// @param there bytes that were there already
    public record Result(String revision, int files, long sent, long there) {}

    /// Counts the bytes of one push.
    final class Count {
        private final Listener listener;
        private final long total;
        private final AtomicLong sent = new AtomicLong();
        private final AtomicLong there = new AtomicLong();

        Count(Listener listener, long total) {
            this.listener = listener;
            this.total = total;
        }

        void sent(long bytes) {
            metrics.pushed(bytes);
            sent.addAndGet(bytes);
            tell();
        }

        void there(long bytes) {
            there.addAndGet(bytes);
            tell();
        }

        private void tell() {
            listener.progress(sent.get() + there.get(), total);
        }
    }

    /// Blocks; an interrupt ends it, and leaves what has come into the bucket for the next call.
    ///
    /// @param folder on this node
    /// @param target `oci://` or `s3://`
    /// @throws PenstockException BAD_INPUT when the configuration does not allow it, CORRUPT when a file changed
    ///     meanwhile or the service has other bytes than were sent
    public Result run(Path folder, SourceAddress target, Listener listener) {
        List<LocalFile> files = LocalFile.of(folder.toAbsolutePath().normalize(), root());
        BucketUploads uploads = uploads(target);
        List<Upload> begun = uploads.begun();
        Count count =
                new Count(listener, files.stream().mapToLong(LocalFile::size).sum());
        Map<String, Manifest.Entry> entries = push(files, uploads, begun, count);
        putManifest(uploads, new Manifest(entries));
        String revision = source(uploads).resolve(folder.toString(), "").revision();
        return new Result(revision, files.size(), count.sent.get(), count.there.get());
    }

    /// Removes what pushes to that prefix have begun and not ended.
    ///
    /// @return how many uploads there were
    public int abandon(SourceAddress target) {
        root();
        BucketUploads uploads = uploads(target);
        List<Upload> begun = uploads.begun();
        begun.forEach(uploads::abort);
        return begun.size();
    }

    private Path root() {
        return settings.root()
                .orElseThrow(() -> new PenstockException(
                        ErrorCategory.BAD_INPUT,
                        "this loader pushes nothing: penstock.loader.push.folder names no folder to push from"));
    }

    private BucketUploads uploads(SourceAddress target) {
        return switch (target) {
            case SourceAddress.Oci(var namespace, var bucket, var prefix) ->
                new OciUploads(http, oci, BucketFolder.oci(namespace, bucket, prefix), settings.stallTimeout());
            case SourceAddress.S3(var bucket, var prefix) ->
                new S3Uploads(http, s3, BucketFolder.s3(bucket, prefix), settings.stallTimeout());
            case SourceAddress.Hub _, SourceAddress.Https _, SourceAddress.Local _, SourceAddress.Preauthenticated _ ->
                throw new PenstockException(
                        ErrorCategory.BAD_INPUT,
                        "a push goes to oci://<namespace>/<bucket>/<prefix> or s3://<bucket>/<prefix>, not elsewhere");
        };
    }

    /// Where what was pushed is read from.
    private Source source(BucketUploads uploads) {
        return switch (uploads) {
            case OciUploads _ -> new OciSource(http, oci, uploads.folder());
            case S3Uploads _ -> new S3Source(http, s3, uploads.folder());
        };
    }

    private Map<String, Manifest.Entry> push(
            List<LocalFile> files, BucketUploads uploads, List<Upload> begun, Count count) {
        // Two pools: a file's thread waits for its parts' threads.
        try (Pool parts = new Pool(settings.connections());
                Pool whole = new Pool(FILES_AT_ONCE)) {
            List<Future<Manifest.Entry>> pushed = new ArrayList<>();
            for (LocalFile file : files) {
                String object = uploads.object(file.name().value());
                List<Upload> mine = begun.stream()
                        .filter(upload -> upload.object().equals(object))
                        .toList();
                pushed.add(whole.threads().submit(() -> push(file, uploads, mine, count, parts.threads())));
            }
            Map<String, Manifest.Entry> entries = new LinkedHashMap<>();
            for (int i = 0; i < files.size(); i++) {
                entries.put(files.get(i).name().value(), pushed.get(i).get());
            }
            return entries;
        } catch (ExecutionException e) {
            throw Failures.of(e.getCause(), "push");
        } catch (InterruptedException e) {
            Thread.currentThread().interrupt();
            throw new PenstockException(ErrorCategory.UNAVAILABLE, e, "the push was stopped; it can be gone on with");
        }
    }

    /// Threads that end with what they are for, whether that ends well or not.
    private record Pool(ExecutorService threads) implements AutoCloseable {
        Pool(int size) {
            this(Executors.newFixedThreadPool(size, Thread.ofVirtual().factory()));
        }

        @Override
        public void close() {
            threads.shutdownNow();
            threads.close();
        }
    }

    private Manifest.Entry push(
            LocalFile file, BucketUploads uploads, List<Upload> begun, Count count, ExecutorService threads)
            throws InterruptedException {
        Span span = tracer.spanBuilder("weights.push")
                .setAttribute("penstock.file", file.name().value())
                .setAttribute("penstock.file.size", file.size())
                .setAttribute(
                        "penstock.target",
                        uploads.place(uploads.object(file.name().value())))
                .startSpan();
        FilePush push = new FilePush(file, uploads, settings, count, http);
        try {
            return push.run(begun, threads);
        } catch (RuntimeException e) {
            span.setStatus(StatusCode.ERROR, RemoteHttp.describe(e));
            throw e;
        } finally {
            span.setAttribute("penstock.file.bytes_sent", push.bytesSent())
                    .setAttribute("penstock.file.bytes_there", push.bytesThere())
                    .end();
        }
    }

    private void putManifest(BucketUploads uploads, Manifest manifest) {
        String object = uploads.object(Manifest.NAME);
        try {
            Path file = Files.createTempFile("penstock-manifest", ".json");
            try {
                Files.writeString(file, manifest.toJson());
                long size = Files.size(file);
                FileRegion region = new FileRegion(file, 0, size);
                FileRegion.Sums sums = region.sums(settings.pieceSize(), uploads.wantsMd5());
                http.retry()
                        .call(
                                uploads.place(object),
                                BucketUploads.Stored.class,
                                () -> uploads.putObject(object, region, size, sums));
            } finally {
                Files.delete(file);
            }
        } catch (IOException e) {
            throw new PenstockException(
                    ErrorCategory.UNAVAILABLE, e, "the manifest cannot be written: %s", RemoteHttp.describe(e));
        }
    }
}
