package io.penstock.loader.transfer;

import io.penstock.loader.source.RemoteFile;
import io.penstock.model.PenstockException;
import java.nio.file.Path;
import java.util.List;
import java.util.Map;
import java.util.concurrent.CompletableFuture;

/// Ranges of one file that a caller wants on this node, wherever the file comes from.
public sealed interface FileWish extends AutoCloseable {
    /// Hears how it goes. Called in order, under the file's lock: must not block nor call back.
    interface Listener {
        /// Bytes of the asked ranges that are there and verified.
        void present(long offset, long length);

        /// How many bytes of the asked ranges have arrived so far; fewer again when wrong ones were thrown away.
        void progress(Progress progress);

        /// Last call: all is present.
        ///
        /// @param fetched bytes that were fetched because of this wish, and not of an earlier one
        void done(long fetched);

        /// Last call: it cannot be met.
        void failed(PenstockException failure);

        /// One that only waits for the end.
        ///
        /// @param end completed with the bytes fetched, or with the failure
        static Listener of(CompletableFuture<Long> end) {
            return new Listener() {
                @Override
                public void present(long offset, long length) {}

                @Override
                public void progress(Progress progress) {}

                @Override
                public void done(long fetched) {
                    end.complete(fetched);
                }

                @Override
                public void failed(PenstockException failure) {
                    end.completeExceptionally(failure);
                }
            };
        }
    }

    /// How far a wish is met.
    ///
    /// @param arrived bytes by where they came from: [LoaderMetrics#FAST] for what was here already,
    ///     [LoaderMetrics#DURABLE], or the source's kind
    /// @param rest where those are expected from that have not arrived
    record Progress(Map<String, Long> arrived, String rest) {
        public Progress {
            arrived = Map.copyOf(arrived);
        }

        /// In bytes.
        public long total() {
            return arrived.values().stream().mapToLong(Long::longValue).sum();
        }
    }

    RemoteFile file();

    /// @return ascending, within the file
    List<ByteRange> ranges();

    /// @return whether all of the file is here and verified
    boolean isComplete();

    /// @param complete whether only complete files are wanted in that folder
    /// @return where the file lies under its own name
    Path path(boolean complete);

    /// Has the ranges made present; the listener may hear of the end before this returns.
    void ask(Listener listener);

    /// Withdraws what is still open.
    @Override
    void close();

    default long bytes() {
        return ranges().stream().mapToLong(ByteRange::length).sum();
    }

    /// Through the cache.
    record Cached(OpenFile open, List<ByteRange> ranges) implements FileWish {
        @Override
        public RemoteFile file() {
            return open.file();
        }

        @Override
        public boolean isComplete() {
            return open.isComplete();
        }

        @Override
        public Path path(boolean complete) {
            return complete ? open.complete() : open.arriving();
        }

        @Override
        public void ask(Listener listener) {
            open.ask(ranges, false, listener);
        }

        @Override
        public void close() {
            open.close();
        }
    }

    /// In place: it is all there.
    ///
    /// @param where the tier that it lies in, or the source's kind
    /// @param release called once it is no longer needed
    record OnNode(RemoteFile file, String where, Path path, List<ByteRange> ranges, Runnable release)
            implements FileWish {
        @Override
        public boolean isComplete() {
            return true;
        }

        @Override
        public Path path(boolean complete) {
            return path;
        }

        @Override
        public void ask(Listener listener) {
            ranges.forEach(range -> listener.present(range.offset(), range.length()));
            listener.progress(new Progress(Map.of(where, bytes()), where));
            listener.done(0);
        }

        @Override
        public void close() {
            release.run();
        }
    }
}
