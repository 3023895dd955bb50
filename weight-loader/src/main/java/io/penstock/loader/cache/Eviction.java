package io.penstock.loader.cache;

import io.penstock.loader.source.RemoteFile;
import io.penstock.loader.source.Snapshot;
import io.penstock.model.ErrorCategory;
import io.penstock.model.PenstockException;
import java.lang.System.Logger;
import java.lang.System.Logger.Level;
import java.util.Comparator;
import java.util.List;
import java.util.Optional;
import java.util.Set;
import java.util.function.BiConsumer;
import java.util.stream.Collectors;

/// Takes revisions out of the cache, the one that was used longest ago first, so that the cache keeps
/// within its budget and its volume. Never one that is pinned or in use.
///
/// A file that a process has open stays readable to it: its name goes, its bytes when that process lets go.
public final class Eviction {
    private static final Logger LOG = System.getLogger(Eviction.class.getName());

    private final CacheDirectory cache;
    private final SnapshotStore store;
    private final long budget;
    private BiConsumer<Snapshot, RemoteFile> leaving = (_, _) -> {};

    /// @param budget bytes of all files together; 0 for as much as the volume holds
    public Eviction(CacheDirectory cache, SnapshotStore store, long budget) {
        this.cache = cache;
        this.store = store;
        this.budget = budget;
    }

    /// Has somebody look at each file that is here as a whole before it goes to make room. Called once, before
    /// anything else.
    ///
    /// @param given must not throw
    public void beforeLeaving(BiConsumer<Snapshot, RemoteFile> given) {
        leaving = given;
    }

    /// Knows what is in use.
    public interface Usage {
        boolean isInUse(Snapshot snapshot);

        /// Runs the action, unless a file of the revision is in use; none can become so while it runs.
        ///
        /// @return whether it ran
        boolean ifIdle(Snapshot snapshot, Runnable action);
    }

    public SnapshotStore store() {
        return store;
    }

    /// @throws PenstockException OVERLOADED when so many bytes have no place even without all that can go
    public void makeRoom(long bytes, Usage usage) {
        while (bytes > 0) {
            Optional<String> obstacle = obstacle(bytes);
            if (obstacle.isEmpty()) {
                return;
            }
            if (!evictOldest(usage)) {
                throw new PenstockException(
                        ErrorCategory.OVERLOADED,
                        "cache %s %s, this needs %d more and nothing in it may go: enlarge it, unpin or wait",
                        cache.root(),
                        obstacle.get(),
                        bytes);
            }
        }
    }

    private Optional<String> obstacle(long bytes) {
        long usable = cache.usableBytes();
        if (usable < bytes) {
            return Optional.of("has " + usable + " bytes left on its volume");
        }
        long held = budget == 0 ? 0 : heldBytes();
        return budget > 0 && held + bytes > budget
                ? Optional.of("holds " + held + " bytes of a budget of " + budget)
                : Optional.empty();
    }

    private long heldBytes() {
        return store.all().stream()
                .flatMap(snapshot -> snapshot.files().stream())
                .collect(Collectors.toMap(RemoteFile::contentId, cache::bytesPresent, (one, _) -> one))
                .values()
                .stream()
                .mapToLong(Long::longValue)
                .sum();
    }

    /// @return false when there is none that may go
    public boolean evictOldest(Usage usage) {
        List<Snapshot> candidates = store.all().stream()
                .filter(snapshot -> !store.isPinned(snapshot))
                .filter(snapshot -> snapshot.files().stream().anyMatch(file -> cache.bytesPresent(file) > 0))
                .sorted(Comparator.comparing(store::lastUsed))
                .toList();
        for (Snapshot candidate : candidates) {
            if (usage.isInUse(candidate)) {
                continue;
            }
            own(candidate).stream().filter(cache::holds).forEach(file -> leaving.accept(candidate, file));
            Optional<Long> freed = take(candidate, usage);
            if (freed.isPresent()) {
                LOG.log(Level.INFO, "evicted {0}@{1}, {2} bytes", candidate.model(), candidate.revision(), freed.get());
                return true;
            }
        }
        return false;
    }

    /// @return bytes that are free now
    /// @throws PenstockException BAD_INPUT when it is pinned, OVERLOADED when it is in use
    public long evict(Snapshot snapshot, Usage usage) {
        if (store.isPinned(snapshot)) {
            throw new PenstockException(
                    ErrorCategory.BAD_INPUT, "%s@%s is pinned", snapshot.model(), snapshot.revision());
        }
        return take(snapshot, usage)
                .orElseThrow(() -> new PenstockException(
                        ErrorCategory.OVERLOADED, "%s@%s is in use", snapshot.model(), snapshot.revision()));
    }

    /// @return bytes that are free now; empty where it is in use
    private Optional<Long> take(Snapshot snapshot, Usage usage) {
        List<RemoteFile> own = own(snapshot);
        long bytes = own.stream().mapToLong(cache::bytesPresent).sum();
        // Renamed while nobody can begin to use it; removed, which may take long, after that.
        if (!usage.ifIdle(snapshot, () -> cache.discard(snapshot, own))) {
            return Optional.empty();
        }
        cache.emptyTrash();
        return Optional.of(bytes);
    }

    /// @return its files that no other revision shares
    private List<RemoteFile> own(Snapshot snapshot) {
        Set<String> shared = store.all().stream()
                .filter(other -> !other.model().equals(snapshot.model())
                        || !other.revision().equals(snapshot.revision()))
                .flatMap(other -> other.files().stream())
                .map(RemoteFile::contentId)
                .collect(Collectors.toSet());
        return snapshot.files().stream()
                .filter(file -> !shared.contains(file.contentId()))
                .toList();
    }
}
