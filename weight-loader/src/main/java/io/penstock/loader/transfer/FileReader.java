package io.penstock.loader.transfer;

import io.penstock.loader.source.Failures;
import io.penstock.loader.source.RemoteHttp;
import io.penstock.model.ErrorCategory;
import io.penstock.model.PenstockException;
import java.io.IOException;
import java.nio.ByteBuffer;
import java.nio.channels.FileChannel;
import java.nio.file.Path;
import java.util.List;
import java.util.concurrent.CompletableFuture;
import java.util.concurrent.CompletionException;

/// Reads of a file wherever it is: the range is made present first, ahead of bulk transfers.
public sealed interface FileReader extends AutoCloseable {
    /// Blocks until the range is present.
    ///
    /// @param given ends the wait when it fails, with its failure
    void await(ByteRange range, CompletableFuture<Void> given);

    /// @return how many bytes were read; fewer than asked for only at the end of the file
    int read(ByteBuffer into, long position);

    @Override
    void close();

    /// Through the cache.
    record Cached(OpenFile file) implements FileReader {
        @Override
        public void await(ByteRange range, CompletableFuture<Void> given) {
            CompletableFuture<Long> present = new CompletableFuture<>();
            file.ask(List.of(range), true, FileWish.Listener.of(present));
            try {
                CompletableFuture.anyOf(present, given).join();
            } catch (CompletionException e) {
                throw Failures.of(e.getCause(), file.file().name());
            }
        }

        @Override
        public int read(ByteBuffer into, long position) {
            return file.read(into, position);
        }

        @Override
        public void close() {
            file.close();
        }
    }

    /// In place.
    record OnNode(Path path, FileChannel channel) implements FileReader {
        static OnNode open(Path path) {
            try {
                return new OnNode(path, FileChannel.open(path));
            } catch (IOException e) {
                throw failure(path, e);
            }
        }

        @Override
        public void await(ByteRange range, CompletableFuture<Void> given) {
            // It is all there.
        }

        @Override
        public int read(ByteBuffer into, long position) {
            try {
                int begin = into.position();
                while (into.hasRemaining() && channel.read(into, position + into.position() - begin) >= 0) {
                    // A read may return less than was asked for.
                }
                return into.position() - begin;
            } catch (IOException e) {
                throw failure(path, e);
            }
        }

        @Override
        public void close() {
            try {
                channel.close();
            } catch (IOException e) {
                throw failure(path, e);
            }
        }

        private static PenstockException failure(Path path, IOException e) {
            return new PenstockException(
                    ErrorCategory.UNAVAILABLE, e, "%s cannot be read: %s", path, RemoteHttp.describe(e));
        }
    }
}
