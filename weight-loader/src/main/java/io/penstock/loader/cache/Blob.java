package io.penstock.loader.cache;

import io.penstock.loader.source.RemoteFile;
import io.penstock.loader.verify.Checksum;
import io.penstock.loader.verify.Crc32c;
import io.penstock.model.ErrorCategory;
import io.penstock.model.PenstockException;
import java.io.IOException;
import java.nio.ByteBuffer;
import java.nio.channels.FileChannel;
import java.nio.file.Files;
import java.nio.file.Path;
import java.nio.file.StandardOpenOption;
import java.util.BitSet;
import java.util.Optional;
import java.util.concurrent.locks.ReentrantLock;
import java.util.function.IntConsumer;
import java.util.zip.CRC32C;

/// The bytes of one file in the cache: a sparse file of the full size, and the journal that says which
/// pieces of it are real. Safe for many threads; pieces are written by one thread each.
public final class Blob implements AutoCloseable {
    private final RemoteFile file;
    private final Path path;
    private final int pieceSize;
    private final FileChannel channel;
    private final PieceJournal journal;
    /// Guards the journal.
    private final ReentrantLock lock = new ReentrantLock();

    /// Opens what the cache has of the file, or begins it. Of pieces of an earlier boot only those count whose bytes
    /// still give the CRC that the journal holds.
    Blob(RemoteFile file, Path path, int pieceSize, long bootId) {
        this.file = file;
        this.path = path;
        this.pieceSize = pieceSize;
        FileChannel opened = null;
        try {
            Files.createDirectories(path.getParent());
            Path journalPath = journalPath(path);
            boolean begun = Files.exists(path);
            if (!begun) {
                Files.deleteIfExists(journalPath);
            }
            journal = PieceJournal.open(journalPath, file.size(), pieceSize, bootId);
            opened = FileChannel.open(
                    path, StandardOpenOption.CREATE, StandardOpenOption.READ, StandardOpenOption.WRITE);
            channel = opened;
            if (begun && (channel.size() != file.size() || (!journal.isOfThisBoot() && !journal.isComplete()))) {
                BitSet wrong = wrongPieces(_ -> {});
                if (!wrong.isEmpty()) {
                    journal.markAbsent(wrong);
                }
            }
            // Only now: whoever is killed while those of an earlier boot are read has it done again.
            journal.begin(bootId);
            if (file.size() > 0 && channel.size() != file.size()) {
                channel.truncate(file.size());
                if (channel.size() < file.size()) {
                    write(ByteBuffer.allocate(1), file.size() - 1);
                }
            }
        } catch (IOException e) {
            closeQuietly(opened, e);
            throw CacheDirectory.failure(path, e);
        }
    }

    private Blob(RemoteFile file, Path path, int pieceSize, FileChannel channel, PieceJournal journal) {
        this.file = file;
        this.path = path;
        this.pieceSize = pieceSize;
        this.channel = channel;
        this.journal = journal;
    }

    /// Opens what is complete without a write.
    static Blob readOnly(RemoteFile file, Path path, int pieceSize) {
        try {
            PieceJournal journal = PieceJournal.readOnly(journalPath(path), file.size(), pieceSize);
            return new Blob(file, path, pieceSize, FileChannel.open(path, StandardOpenOption.READ), journal);
        } catch (IOException e) {
            throw CacheDirectory.failure(path, e);
        }
    }

    static Path journalPath(Path blob) {
        return blob.resolveSibling(blob.getFileName() + ".journal");
    }

    /// @return bytes of the pieces of a file
    static long bytes(BitSet present, long fileSize, int pieceSize) {
        long bytes = (long) present.cardinality() * pieceSize;
        int last = (int) (Math.ceilDiv(fileSize, pieceSize) - 1);
        return last >= 0 && present.get(last) ? bytes - ((long) (last + 1) * pieceSize - fileSize) : bytes;
    }

    private static void closeQuietly(FileChannel opened, IOException failure) {
        if (opened != null) {
            try {
                opened.close();
            } catch (IOException e) {
                failure.addSuppressed(e);
            }
        }
    }

    /// Reads all that is there.
    ///
    /// @param onRead hears of each piece's length
    /// @return the pieces whose bytes do not give the CRC that the journal holds
    public BitSet damage(IntConsumer onRead) {
        try {
            return wrongPieces(onRead);
        } catch (IOException e) {
            throw CacheDirectory.failure(path, e);
        }
    }

    /// Forgets pieces that turned out to be wrong. Durable when it returns.
    public void forget(BitSet pieces) {
        locked(() -> journal.markAbsent(pieces));
    }

    private BitSet wrongPieces(IntConsumer onRead) throws IOException {
        BitSet wrong = new BitSet();
        ByteBuffer buffer = ByteBuffer.allocateDirect(pieceSize);
        BitSet believed = present();
        for (int piece = believed.nextSetBit(0); piece >= 0; piece = believed.nextSetBit(piece + 1)) {
            buffer.clear().limit(pieceLength(piece));
            long offset = (long) piece * pieceSize;
            while (buffer.hasRemaining() && channel.read(buffer, offset + buffer.position()) >= 0) {
                // A read may return less than was asked for.
            }
            CRC32C crc = new CRC32C();
            crc.update(buffer.flip());
            if (buffer.limit() < pieceLength(piece) || (int) crc.getValue() != journal.sum(piece)) {
                wrong.set(piece);
            }
            onRead.accept(pieceLength(piece));
        }
        return wrong;
    }

    public RemoteFile file() {
        return file;
    }

    public Path path() {
        return path;
    }

    public int pieceSize() {
        return pieceSize;
    }

    public int pieces() {
        return journal.pieces();
    }

    public int pieceLength(int piece) {
        return (int) Math.min(pieceSize, file.size() - (long) piece * pieceSize);
    }

    /// @throws PenstockException OVERLOADED when the volume is full, UNAVAILABLE when it cannot be written
    public void write(ByteBuffer bytes, long position) {
        try {
            long at = position;
            while (bytes.hasRemaining()) {
                at += channel.write(bytes, at);
            }
        } catch (IOException e) {
            throw CacheDirectory.failure(path, e);
        }
    }

    /// @return how many bytes were read; less than asked for only at the end of the file
    public int read(ByteBuffer bytes, long position) {
        try {
            int begin = bytes.position();
            while (bytes.hasRemaining() && channel.read(bytes, position + bytes.position() - begin) >= 0) {
                // A read may return less than was asked for.
            }
            return bytes.position() - begin;
        } catch (IOException e) {
            throw CacheDirectory.failure(path, e);
        }
    }

    /// Notes that a piece has been written whole.
    ///
    /// @param sum its CRC32C
    public void markPresent(int piece, int sum) {
        locked(() -> journal.markPresent(piece, sum));
    }

    /// @return CRC32C of a piece that is present
    int sum(int piece) {
        lock.lock();
        try {
            return journal.sum(piece);
        } finally {
            lock.unlock();
        }
    }

    /// Forgets every piece: their bytes are wrong, and none says which.
    public void forget() {
        locked(() -> {
            BitSet all = new BitSet();
            all.set(0, journal.pieces());
            journal.markAbsent(all);
        });
    }

    /// @return the pieces that are there, a copy
    public BitSet present() {
        lock.lock();
        try {
            return (BitSet) journal.present().clone();
        } finally {
            lock.unlock();
        }
    }

    /// @return bytes of the pieces that are there
    public long bytesPresent() {
        return bytes(present(), file.size(), pieceSize);
    }

    /// @return whether all of it is there, verified and durable
    public boolean isComplete() {
        lock.lock();
        try {
            return journal.isComplete();
        } finally {
            lock.unlock();
        }
    }

    /// Compares what is there with the source's checksum; every piece must be present.
    ///
    /// @param digest of all of it, where the source's checksum is one
    /// @return true also where the source has no checksum
    public boolean matches(Optional<RunningDigest> digest) {
        return switch (file.checksum().orElse(null)) {
            case null -> true;
            case Checksum.Crc32cSum(var value) -> combinedSum() == value;
            case Checksum.Sha256 _, Checksum.GitBlob _ -> digest.orElseThrow().matches();
        };
    }

    private int combinedSum() {
        lock.lock();
        try {
            int sum = 0;
            for (int piece = 0; piece < journal.pieces(); piece++) {
                sum = Crc32c.combine(sum, journal.sum(piece), pieceLength(piece));
            }
            return sum;
        } finally {
            lock.unlock();
        }
    }

    /// Makes the verified whole durable: bytes first, then the journal's word for it.
    public void complete() {
        locked(() -> {
            if (journal.present().cardinality() != journal.pieces()) {
                throw new PenstockException(ErrorCategory.INTERNAL, "%s is not complete", path);
            }
            channel.force(true);
            // The names of both files and of their folder, which may be new.
            CacheDirectory.sync(path.getParent());
            CacheDirectory.sync(path.getParent().getParent());
            journal.markComplete();
        });
    }

    private void locked(JournalWrite write) {
        lock.lock();
        try {
            write.run();
        } catch (IOException e) {
            throw CacheDirectory.failure(path, e);
        } finally {
            lock.unlock();
        }
    }

    @FunctionalInterface
    private interface JournalWrite {
        void run() throws IOException;
    }

    @Override
    public void close() {
        try (channel;
                journal) {
            // Both are closed, whatever the first one says.
        } catch (IOException e) {
            throw CacheDirectory.failure(path, e);
        }
    }
}
