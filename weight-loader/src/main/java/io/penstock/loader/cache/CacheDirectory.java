package io.penstock.loader.cache;

import io.penstock.loader.source.FileName;
import io.penstock.loader.source.RemoteFile;
import io.penstock.loader.source.Snapshot;
import io.penstock.loader.verify.PieceChecksums;
import io.penstock.model.ErrorCategory;
import io.penstock.model.PenstockException;
import java.io.IOException;
import java.nio.channels.FileChannel;
import java.nio.channels.FileLock;
import java.nio.channels.OverlappingFileLockException;
import java.nio.charset.StandardCharsets;
import java.nio.file.AccessDeniedException;
import java.nio.file.Files;
import java.nio.file.Path;
import java.nio.file.ReadOnlyFileSystemException;
import java.nio.file.StandardCopyOption;
import java.nio.file.StandardOpenOption;
import java.security.MessageDigest;
import java.security.NoSuchAlgorithmException;
import java.util.BitSet;
import java.util.HexFormat;
import java.util.Locale;
import java.util.UUID;

/// The folder that holds all bytes of this node. Layout:
/// ```
/// lock                                    held by the one loader that writes here
/// blobs/<xx>/<id>, <id>.journal           bytes by content, sparse until complete
/// models/<model>/<revision>/snapshot.json names, sizes and pins of a revision
/// models/<model>/<revision>/arriving/... hard links to blobs under their names: only announced ranges are
/// valid
/// models/<model>/<revision>/complete/...  the same for files that are whole, verified and durable
/// ```
/// A name appears below `complete` by one atomic step, after the bytes and the journal are on the disk.
public final class CacheDirectory implements AutoCloseable {
    private static final Path BOOT_ID = Path.of("/proc/sys/kernel/random/boot_id");

    private final Path root;
    private final FileChannel lockChannel;
    private final FileLock lock;
    private final int pieceSize;
    private final long bootId;

    /// @param root made where it is missing
    /// @param pieceSize of files whose source does not give one, a power of two
    /// @throws PenstockException UNAVAILABLE when it cannot be written or another loader holds it
    public CacheDirectory(Path root, int pieceSize) {
        this(root, pieceSize, bootId());
    }

    CacheDirectory(Path root, int pieceSize, long bootId) {
        this.root = root.toAbsolutePath().normalize();
        this.pieceSize = new PieceChecksums(pieceSize, new int[0]).pieceSize();
        this.bootId = bootId;
        try {
            Files.createDirectories(this.root.resolve("blobs"));
            Files.createDirectories(this.root.resolve("models"));
            lockChannel =
                    FileChannel.open(this.root.resolve("lock"), StandardOpenOption.CREATE, StandardOpenOption.WRITE);
        } catch (IOException e) {
            throw failure(this.root, e);
        }
        lock = lock();
    }

    private FileLock lock() {
        try {
            FileLock held = lockChannel.tryLock();
            if (held != null) {
                return held;
            }
        } catch (IOException e) {
            throw failure(root, e);
        } catch (OverlappingFileLockException e) {
            throw new PenstockException(ErrorCategory.UNAVAILABLE, e, "cache %s is in use by this very process", root);
        }
        try {
            lockChannel.close();
        } catch (IOException e) {
            throw failure(root, e);
        }
        throw new PenstockException(ErrorCategory.UNAVAILABLE, "cache %s is in use by another weight-loader", root);
    }

    private static long bootId() {
        try {
            return UUID.fromString(Files.readString(BOOT_ID).strip()).getMostSignificantBits();
        } catch (IOException | IllegalArgumentException e) {
            // Not Linux: every partial file is then re-read at its first use.
            return 0;
        }
    }

    public Path root() {
        return root;
    }

    /// @return the blob, opened; the caller closes it and opens it at most once at a time
    public Blob open(RemoteFile file) {
        return new Blob(file, blobPath(file), pieceSize(file), bootId);
    }

    /// @return bytes of the file that are here
    public long bytesPresent(RemoteFile file) {
        Path path = blobPath(file);
        try {
            BitSet present = PieceJournal.peek(Blob.journalPath(path), file.size(), pieceSize(file));
            return Blob.bytes(present, file.size(), pieceSize(file));
        } catch (IOException e) {
            throw failure(path, e);
        }
    }

    private int pieceSize(RemoteFile file) {
        return file.pieces().map(PieceChecksums::pieceSize).orElse(pieceSize);
    }

    Path blobPath(RemoteFile file) {
        try {
            MessageDigest digest = MessageDigest.getInstance("SHA-256");
            String key = file.contentId() + "\n" + file.size();
            String id = HexFormat.of().formatHex(digest.digest(key.getBytes(StandardCharsets.UTF_8)));
            return root.resolve("blobs").resolve(id.substring(0, 2)).resolve(id);
        } catch (NoSuchAlgorithmException e) {
            throw new IllegalStateException("every Java platform has SHA-256", e);
        }
    }

    /// Gives a file that may still be sparse its name in the revision's folder.
    ///
    /// @return that path
    public Path linkArriving(Snapshot snapshot, Blob blob) {
        return link(snapshot, "arriving", blob);
    }

    /// Publishes a complete file under its name.
    ///
    /// @return that path
    public Path linkComplete(Snapshot snapshot, Blob blob) {
        if (!blob.isComplete()) {
            throw new PenstockException(ErrorCategory.INTERNAL, "%s is not complete", blob.path());
        }
        return link(snapshot, "complete", blob);
    }

    private Path link(Snapshot snapshot, String folder, Blob blob) {
        Path base = revisionFolder(snapshot.model(), snapshot.revision()).resolve(folder);
        Path target = base.resolve(checked(blob.file().name(), base));
        try {
            if (Files.exists(target) && Files.isSameFile(target, blob.path())) {
                return target;
            }
            Files.createDirectories(target.getParent());
            Path fresh = target.resolveSibling("." + UUID.randomUUID() + ".link");
            Files.createLink(fresh, blob.path());
            Files.move(fresh, target, StandardCopyOption.ATOMIC_MOVE, StandardCopyOption.REPLACE_EXISTING);
            sync(target.getParent());
            return target;
        } catch (IOException e) {
            throw failure(target, e);
        }
    }

    /// The name was checked when it was made; this is the second lock on the same door.
    private static String checked(FileName name, Path base) {
        if (!base.resolve(name.value()).normalize().startsWith(base)) {
            throw new PenstockException(ErrorCategory.BAD_INPUT, "file name '%s' leads out of its folder", name);
        }
        return name.value();
    }

    Path revisionFolder(String model, String revision) {
        return modelFolder(model).resolve(revision);
    }

    Path modelFolder(String model) {
        // Slashes are legal in names of models and two dashes are not, so this is one to one.
        return root.resolve("models").resolve(model.replace("/", "--"));
    }

    /// @throws PenstockException OVERLOADED when the volume cannot take so many bytes more
    public void requireSpace(long bytes) {
        long usable;
        try {
            usable = Files.getFileStore(root).getUsableSpace();
        } catch (IOException e) {
            throw failure(root, e);
        }
        if (usable < bytes) {
            throw new PenstockException(
                    ErrorCategory.OVERLOADED,
                    "cache %s has %d bytes left, this needs %d more: enlarge the volume or remove models",
                    root,
                    usable,
                    bytes);
        }
    }

    /// Writes and removes a small file.
    ///
    /// @throws PenstockException when the folder cannot be used
    public void probe() {
        Path probe = root.resolve("." + UUID.randomUUID() + ".probe");
        try {
            Files.writeString(probe, "probe");
            Files.delete(probe);
        } catch (IOException e) {
            throw failure(root, e);
        }
    }

    static void sync(Path folder) throws IOException {
        try (FileChannel channel = FileChannel.open(folder, StandardOpenOption.READ)) {
            channel.force(true);
        }
    }

    /// What a failed write or read of the cache means for the one who asked.
    static PenstockException failure(Path path, Exception failure) {
        String message = String.valueOf(failure.getMessage()).toLowerCase(Locale.ROOT);
        if (message.contains("no space left") || message.contains("quota exceeded")) {
            return new PenstockException(
                    ErrorCategory.OVERLOADED,
                    failure,
                    "no space left on the cache's volume for %s: enlarge the volume or remove models",
                    path);
        }
        if (failure instanceof AccessDeniedException
                || failure instanceof ReadOnlyFileSystemException
                || message.contains("read-only")) {
            return new PenstockException(
                    ErrorCategory.UNAVAILABLE, failure, "the cache cannot be written: %s", message);
        }
        return new PenstockException(
                ErrorCategory.UNAVAILABLE, failure, "the cache failed at %s: %s", path, failure.getMessage());
    }

    @Override
    public void close() {
        try (lockChannel;
                lock) {
            // Released in this order, whatever the first one says.
        } catch (IOException e) {
            throw failure(root, e);
        }
    }
}
