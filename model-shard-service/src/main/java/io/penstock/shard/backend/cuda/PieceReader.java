package io.penstock.shard.backend.cuda;

import io.penstock.model.ErrorCategory;
import io.penstock.model.PenstockException;
import java.io.EOFException;
import java.io.IOException;
import java.nio.ByteBuffer;
import java.nio.channels.FileChannel;
import java.nio.file.Path;
import java.util.ArrayList;
import java.util.HashMap;
import java.util.List;
import java.util.Map;
import java.util.concurrent.ExecutionException;
import java.util.concurrent.ExecutorService;
import java.util.concurrent.Executors;
import java.util.concurrent.Future;

/// Reads pieces of files by several threads at once: one alone copies from the page cache at a few gigabytes a
/// second, less than a disk or the way to the device can take. Used by one thread.
final class PieceReader implements AutoCloseable {
    private static final int THREADS = 8;
    private static final int LEAST = 1 << 20;

    private final ExecutorService threads = Executors.newFixedThreadPool(
            THREADS, Thread.ofPlatform().daemon().name("weight-read-", 0).factory());
    private final Map<Path, FileChannel> open = new HashMap<>();

    /// Fills the buffer, from its position to its limit.
    ///
    /// @param at byte of the file to begin with
    /// @throws PenstockException (corrupt) if the file ends before, (unavailable) if it cannot be read
    void read(Path file, long at, ByteBuffer to) {
        int bytes = to.remaining();
        int parts = Math.clamp(bytes / LEAST, 1, THREADS);
        List<Future<?>> reads = new ArrayList<>();
        try {
            FileChannel channel = open.get(file);
            if (channel == null) {
                channel = FileChannel.open(file);
                open.put(file, channel);
            }
            FileChannel from = channel;
            for (int part = 0; part < parts; part++) {
                int first = (int) ((long) bytes * part / parts);
                int last = (int) ((long) bytes * (part + 1) / parts);
                ByteBuffer slice = to.slice(to.position() + first, last - first);
                reads.add(threads.submit(() -> {
                    fill(from, at + first, slice);
                    return null;
                }));
            }
            // All of them, also when one has failed: none may write to the buffer once this returns.
            IOException failure = null;
            for (Future<?> read : reads) {
                try {
                    read.get();
                } catch (ExecutionException e) {
                    if (!(e.getCause() instanceof IOException io)) {
                        throw new IllegalStateException(e.getCause());
                    }
                    failure = io;
                }
            }
            if (failure != null) {
                throw failure;
            }
        } catch (EOFException e) {
            throw new PenstockException(ErrorCategory.CORRUPT, e, "%s ends early: %s", file, e.getMessage());
        } catch (IOException e) {
            throw new PenstockException(ErrorCategory.UNAVAILABLE, e, "%s cannot be read: %s", file, e.getMessage());
        } catch (InterruptedException e) {
            Thread.currentThread().interrupt();
            throw new PenstockException(ErrorCategory.UNAVAILABLE, e, "interrupted while reading %s", file);
        }
    }

    private static void fill(FileChannel from, long begin, ByteBuffer to) throws IOException {
        long at = begin;
        while (to.hasRemaining()) {
            int count = from.read(to, at);
            if (count < 0) {
                throw new EOFException("nothing at byte " + at);
            }
            at += count;
        }
    }

    @Override
    public void close() {
        threads.close();
        for (FileChannel channel : open.values()) {
            try {
                channel.close();
            } catch (IOException e) {
                throw new PenstockException(ErrorCategory.INTERNAL, e, "closing a weight file: %s", e.getMessage());
            }
        }
    }
}
