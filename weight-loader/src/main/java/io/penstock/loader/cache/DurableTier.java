package io.penstock.loader.cache;

import io.penstock.loader.source.RemoteFile;
import io.penstock.loader.source.Snapshot;
import io.penstock.model.ErrorCategory;
import io.penstock.model.PenstockException;
import java.nio.ByteBuffer;
import java.nio.file.Path;
import java.util.BitSet;
import java.util.List;
import java.util.Optional;
import java.util.Set;
import java.util.concurrent.ConcurrentHashMap;
import java.util.concurrent.locks.ReentrantLock;
import java.util.function.IntConsumer;
import java.util.zip.CRC32C;

/// The tier behind the cache: a cache of the same form on a volume that outlives the node, or a clone of
/// such a volume. It holds whole files only, each with the CRC32C of its pieces, by which every byte that
/// is copied from or to it is checked.
public final class DurableTier implements AutoCloseable {
    private final CacheDirectory directory;
    private final Eviction eviction;
    private final Policy policy;
    /// Guards what is written here: one file at a time, so that two do not compete for one volume.
    private final ReentrantLock writing = new ReentrantLock();

    /// Contents whose bytes turned out to be wrong where nothing may be written: they do not count as being here.
    private final Set<String> distrusted = ConcurrentHashMap.newKeySet();

    /// @param promote whether a file that is wanted is copied into the fast tier; else it is used where it lies
    /// @param demote when a file of the fast tier is copied here
    public record Policy(boolean promote, Demote demote) {}

    /// When a file is copied to the durable tier.
    public enum Demote {
        /// As soon as it is complete.
        COMPLETE,
        /// When the fast tier needs its room.
        EVICTED,
        /// Never: what is there came from elsewhere.
        NEVER
    }

    /// @param eviction over the same directory
    public DurableTier(CacheDirectory directory, Eviction eviction, Policy policy) {
        this.directory = directory;
        this.eviction = eviction;
        this.policy = policy;
    }

    public SnapshotStore store() {
        return eviction.store();
    }

    public boolean promotes() {
        return policy.promote();
    }

    /// @return whether files of the fast tier come here at that moment
    public boolean takes(Demote moment) {
        return !directory.isReadOnly() && policy.demote() == moment;
    }

    /// @return whether all of the file is here
    public boolean holds(RemoteFile file) {
        return !distrusted.contains(file.contentId()) && directory.holds(file);
    }

    /// Reads a file that is here again.
    ///
    /// @param onRead hears how many bytes were read, piece by piece
    /// @return pieces that are not what they were; from now on the file is not here as a whole
    /// @throws PenstockException UNAVAILABLE where it cannot be read
    public List<Integer> recheck(RemoteFile file, IntConsumer onRead) {
        if (!holds(file)) {
            return List.of();
        }
        BitSet wrong;
        try (Blob blob = directory.openComplete(file)) {
            wrong = blob.damage(onRead);
        }
        if (!wrong.isEmpty()) {
            forget(file, wrong);
        }
        return wrong.stream().boxed().toList();
    }

    private void forget(RemoteFile file, BitSet wrong) {
        if (directory.isReadOnly()) {
            distrusted.add(file.contentId());
            return;
        }
        writing.lock();
        try (Blob blob = directory.open(file)) {
            blob.forget(wrong);
            for (Snapshot snapshot : store().all()) {
                for (RemoteFile named : snapshot.files()) {
                    if (named.contentId().equals(file.contentId())) {
                        directory.unpublish(snapshot, named);
                    }
                }
            }
        } finally {
            writing.unlock();
        }
    }

    /// Puts pieces that were forgotten right again, compares the whole, and gives it its name back.
    ///
    /// @param from of the fast tier, with these pieces
    /// @return whether all of it is here now, and right; false where nothing may be written, or more is missing
    /// @throws PenstockException as of [#keep]
    public boolean mend(Snapshot snapshot, Blob from, List<Integer> pieces) {
        if (directory.isReadOnly()) {
            return false;
        }
        writing.lock();
        try (Blob to = directory.open(from.file())) {
            ByteBuffer buffer = ByteBuffer.allocateDirect(from.pieceSize());
            for (int piece : pieces) {
                to.markPresent(piece, copyPiece(from, to, piece, buffer));
            }
            if (to.present().cardinality() < to.pieces()) {
                return false;
            }
            Optional<RunningDigest> digest = RunningDigest.of(to);
            digest.ifPresent(running -> running.take(to.pieces()));
            if (!to.matches(digest)) {
                to.forget();
                throw new PenstockException(
                        ErrorCategory.CORRUPT,
                        "%s: with the pieces that were put right it is still not what its source says; it is dropped",
                        to.path());
            }
            to.complete();
            directory.linkComplete(snapshot, to);
            return true;
        } finally {
            writing.unlock();
        }
    }

    /// The file, to be read; the caller closes it.
    ///
    /// @return empty where it is not here as a whole
    public Optional<Blob> open(RemoteFile file) {
        return holds(file) ? Optional.of(directory.openComplete(file)) : Optional.empty();
    }

    /// @return where the file lies under its name; it must be here
    public Path path(Snapshot snapshot, RemoteFile file) {
        try (Blob blob = directory.openComplete(file)) {
            store().use(snapshot);
            return directory.linkComplete(snapshot, blob);
        }
    }

    /// Copies a complete file here, unless it is here already. What has been used longest ago makes room.
    ///
    /// @param from of the fast tier, complete
    /// @return bytes that were copied
    /// @throws PenstockException OVERLOADED where there is no room, CORRUPT where the fast tier's bytes are wrong,
    ///     UNAVAILABLE where one of the volumes fails
    public long keep(Snapshot snapshot, Blob from, Eviction.Usage usage) {
        RemoteFile file = from.file();
        writing.lock();
        try {
            store().use(snapshot);
            if (holds(file)) {
                path(snapshot, file);
                return 0;
            }
            long missing = file.size() - directory.bytesPresent(file);
            eviction.makeRoom(missing, usage);
            try (Blob to = directory.open(file)) {
                copy(from, to);
                to.complete();
                directory.linkComplete(snapshot, to);
            }
            return missing;
        } finally {
            writing.unlock();
        }
    }

    private static void copy(Blob from, Blob to) {
        ByteBuffer buffer = ByteBuffer.allocateDirect(from.pieceSize());
        BitSet present = to.present();
        for (int piece = present.nextClearBit(0); piece < to.pieces(); piece = present.nextClearBit(piece + 1)) {
            to.markPresent(piece, copyPiece(from, to, piece, buffer));
        }
    }

    /// Copies one piece between files of the same content, and checks it on the way.
    ///
    /// @param buffer direct, of at least a piece
    /// @return its CRC32C
    /// @throws PenstockException CORRUPT where the bytes are not what their journal says
    public static int copyPiece(Blob from, Blob to, int piece, ByteBuffer buffer) {
        long offset = (long) piece * from.pieceSize();
        int length = from.pieceLength(piece);
        int read = from.read(buffer.clear().limit(length), offset);
        CRC32C crc = new CRC32C();
        crc.update(buffer.flip().duplicate());
        if (read != length || (int) crc.getValue() != from.sum(piece)) {
            throw new PenstockException(
                    ErrorCategory.CORRUPT, "%s: the bytes of piece %d are not what they were", from.path(), piece);
        }
        to.write(buffer, offset);
        return (int) crc.getValue();
    }

    /// Takes a revision out.
    ///
    /// @return bytes that are free now; 0 where it is not here or nothing may be written
    public long evict(Snapshot snapshot, Eviction.Usage usage) {
        return directory.isReadOnly()
                        || store().load(snapshot.model(), snapshot.revision()).isEmpty()
                ? 0
                : eviction.evict(snapshot, usage);
    }

    /// @return bytes of the file that are here
    public long bytesPresent(RemoteFile file) {
        return directory.bytesPresent(file);
    }

    /// @return bytes that the volume can still take
    public long usableBytes() {
        return directory.usableBytes();
    }

    @Override
    public void close() {
        directory.close();
    }
}
