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
import java.time.Duration;
import java.util.BitSet;
import java.util.Comparator;
import java.util.HexFormat;
import java.util.List;
import java.util.Locale;
import java.util.Optional;
import java.util.UUID;
import java.util.stream.Stream;

/// The folder that holds all bytes of this node. Layout:
/// ```
/// lock                                     held by the one loader that writes here
/// blobs/<xx>/<id>, <id>.journal            bytes by content, sparse until complete
/// models/<model>/<revision>/snapshot.json  names, sizes and checksums of a revision's files
/// models/<model>/<revision>/used, pinned   when it was used last; that it must not be evicted
/// models/<model>/<revision>/arriving/...   hard links to blobs under their names: only announced ranges are valid
/// models/<model>/<revision>/complete/...   the same for files that are whole, verified and durable
/// trash/...                                what was evicted and is being removed
/// ```
/// A name appears below `complete` by one atomic step, after the bytes and the journal are on the disk.
///
/// A cache that is only read, as a clone of another node's volume or one that many nodes share, takes
/// no lock and gives what is complete in it.
public final class CacheDirectory implements AutoCloseable {
    private static final Duration LOCK_POLL = Duration.ofMillis(100);
    private static final Path BOOT_ID = Path.of("/proc/sys/kernel/random/boot_id");

    private final Path root;
    private final boolean readOnly;
    private final Optional<Held> held;
    private final int pieceSize;
    private final long bootId;

    /// @param root made where it is missing
    /// @param pieceSize of files whose source does not give one, a power of two
    /// @throws PenstockException UNAVAILABLE when it cannot be written or another loader holds it
    public CacheDirectory(Path root, int pieceSize) {
        this(root, pieceSize, bootId());
    }

    /// @param readOnly whether nothing is ever written
    /// @param patience how long another loader may take to let go of the cache
    public CacheDirectory(Path root, int pieceSize, boolean readOnly, Duration patience) {
        this(root, pieceSize, bootId(), readOnly, patience);
    }

    CacheDirectory(Path root, int pieceSize, long bootId) {
        this(root, pieceSize, bootId, false, Duration.ZERO);
    }

    private CacheDirectory(Path root, int pieceSize, long bootId, boolean readOnly, Duration patience) {
        this.root = root.toAbsolutePath().normalize();
        this.pieceSize = new PieceChecksums(pieceSize, new int[0]).pieceSize();
        this.bootId = bootId;
        this.readOnly = readOnly;
        if (readOnly) {
            if (!Files.isDirectory(this.root.resolve("models"))) {
                throw new PenstockException(
                        ErrorCategory.UNAVAILABLE, "%s is to be read only and is no cache", this.root);
            }
            held = Optional.empty();
            return;
        }
        try {
            Files.createDirectories(this.root.resolve("blobs"));
            Files.createDirectories(this.root.resolve("models"));
            Files.createDirectories(trash());
            sync(this.root);
        } catch (IOException e) {
            throw failure(this.root, e);
        }
        held = Optional.of(hold(patience));
        emptyTrash();
    }

    /// The right to write here.
    private record Held(FileChannel channel, FileLock lock) {}

    private Held hold(Duration patience) {
        long deadline = System.nanoTime() + patience.toNanos();
        try {
            FileChannel channel =
                    FileChannel.open(root.resolve("lock"), StandardOpenOption.CREATE, StandardOpenOption.WRITE);
            try {
                FileLock lock = channel.tryLock();
                while (lock == null && System.nanoTime() < deadline) {
                    // The kernel has no lock with a time limit.
                    Thread.sleep(LOCK_POLL);
                    lock = channel.tryLock();
                }
                if (lock != null) {
                    return new Held(channel, lock);
                }
            } catch (OverlappingFileLockException e) {
                channel.close();
                throw new PenstockException(
                        ErrorCategory.UNAVAILABLE, e, "cache %s is in use by this very process", root);
            }
            channel.close();
        } catch (IOException e) {
            throw failure(root, e);
        } catch (InterruptedException e) {
            Thread.currentThread().interrupt();
            throw new PenstockException(ErrorCategory.UNAVAILABLE, e, "cache %s: stopped", root);
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

    public boolean isReadOnly() {
        return readOnly;
    }

    public Path root() {
        return root;
    }

    /// @return the blob, opened; the caller closes it and opens it at most once at a time
    ///
    /// @throws PenstockException UNAVAILABLE when the cache is read only and does not hold all of it
    public Blob open(RemoteFile file) {
        if (readOnly && bytesPresent(file) < file.size()) {
            throw new PenstockException(
                    ErrorCategory.UNAVAILABLE, "cache %s is read only and lacks %s", root, file.name());
        }
        return readOnly
                ? Blob.readOnly(file, blobPath(file), pieceSize(file))
                : new Blob(file, blobPath(file), pieceSize(file), bootId);
    }

    /// @return whether all of the file is here, verified and durable
    public boolean holds(RemoteFile file) {
        Path path = blobPath(file);
        try {
            return PieceJournal.isComplete(Blob.journalPath(path), file.size(), pieceSize(file))
                    // A power cut in an eviction may leave the journal alone.
                    && Files.exists(path)
                    && Files.size(path) == file.size();
        } catch (IOException e) {
            throw failure(path, e);
        }
    }

    /// Opens a file that [#holds] has, to be read; the caller closes it.
    public Blob openComplete(RemoteFile file) {
        return Blob.readOnly(file, blobPath(file), pieceSize(file));
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

    /// In bytes: the file's own where its source gives one.
    public int pieceSize(RemoteFile file) {
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
        Path base = revisionFolder(snapshot.model(), snapshot.revision()).resolve("arriving");
        Path target = base.resolve(checked(blob.file().name(), base));
        try {
            link(target, blob);
            return target;
        } catch (IOException e) {
            throw failure(target, e);
        }
    }

    /// Publishes a complete file under its name. Durable when it returns.
    ///
    /// @return that path
    public Path linkComplete(Snapshot snapshot, Blob blob) {
        if (!blob.isComplete()) {
            throw new PenstockException(ErrorCategory.INTERNAL, "%s is not complete", blob.path());
        }
        Path base = revisionFolder(snapshot.model(), snapshot.revision()).resolve("complete");
        Path target = base.resolve(checked(blob.file().name(), base));
        try {
            if (link(target, blob)) {
                // Any of the folders above may be new.
                syncUpTo(root, target.getParent());
            }
            return target;
        } catch (IOException e) {
            throw failure(target, e);
        }
    }

    /// @return false where it has that name already
    private static boolean link(Path target, Blob blob) throws IOException {
        if (Files.exists(target) && Files.isSameFile(target, blob.path())) {
            return false;
        }
        Files.createDirectories(target.getParent());
        Path fresh = target.resolveSibling("." + UUID.randomUUID() + ".link");
        Files.createLink(fresh, blob.path());
        Files.move(fresh, target, StandardCopyOption.ATOMIC_MOVE, StandardCopyOption.REPLACE_EXISTING);
        return true;
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

    /// @return bytes that the volume can still take
    public long usableBytes() {
        try {
            return Files.getFileStore(root).getUsableSpace();
        } catch (IOException e) {
            throw failure(root, e);
        }
    }

    private Path trash() {
        return root.resolve("trash");
    }

    /// Takes a revision's names away, and the bytes that are its own.
    void discard(Snapshot snapshot, List<RemoteFile> own) {
        Path folder = revisionFolder(snapshot.model(), snapshot.revision());
        try {
            toTrash(folder);
            for (RemoteFile file : own) {
                discard(blobPath(file));
            }
        } catch (IOException e) {
            throw failure(folder, e);
        }
    }

    private void discard(Path blob) throws IOException {
        // INVARIANT: no journal outlives its bytes, a power cut included, or it would speak for those of the next
        // fetch. Without it they are nothing.
        if (toTrash(Blob.journalPath(blob))) {
            sync(blob.getParent());
        }
        toTrash(blob);
    }

    /// @return false where nothing was there
    private boolean toTrash(Path path) throws IOException {
        if (!Files.exists(path)) {
            return false;
        }
        Files.move(path, trash().resolve(UUID.randomUUID().toString()), StandardCopyOption.ATOMIC_MOVE);
        return true;
    }

    /// Removes what was thrown away, now or before a restart.
    void emptyTrash() {
        try (Stream<Path> paths = Files.walk(trash())) {
            for (Path path : paths.sorted(Comparator.reverseOrder()).toList()) {
                if (!path.equals(trash())) {
                    Files.deleteIfExists(path);
                }
            }
        } catch (IOException e) {
            throw failure(trash(), e);
        }
    }

    /// Takes a file's name below `complete` away: its bytes are not what they should be. Durable when it returns.
    public void unpublish(Snapshot snapshot, RemoteFile file) {
        Path base = revisionFolder(snapshot.model(), snapshot.revision()).resolve("complete");
        Path name = base.resolve(checked(file.name(), base));
        try {
            if (Files.deleteIfExists(name)) {
                sync(name.getParent());
            }
        } catch (IOException e) {
            throw failure(base, e);
        }
    }

    /// Writes and removes a small file.
    ///
    /// @throws PenstockException when the folder cannot be used
    public void probe() {
        if (readOnly) {
            if (!Files.isReadable(root.resolve("models"))) {
                throw new PenstockException(ErrorCategory.UNAVAILABLE, "cache %s cannot be read", root);
            }
            return;
        }
        Path probe = root.resolve("." + UUID.randomUUID() + ".probe");
        try {
            Files.writeString(probe, "probe");
            Files.delete(probe);
        } catch (IOException e) {
            throw failure(root, e);
        }
    }

    /// Makes the names in a folder durable, and the folder's own, and so on to the top.
    static void syncUpTo(Path top, Path folder) throws IOException {
        for (Path at = folder; ; at = at.getParent()) {
            sync(at);
            if (at.equals(top)) {
                return;
            }
        }
    }

    /// Makes the names in a folder durable.
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
        try {
            if (held.isPresent()) {
                // The kernel's lock goes with it.
                held.get().channel().close();
            }
        } catch (IOException e) {
            throw failure(root, e);
        }
    }
}
