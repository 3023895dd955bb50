package io.penstock.loader.catalog;

import io.penstock.loader.cache.SnapshotStore;
import io.penstock.loader.source.Failures;
import io.penstock.loader.source.Snapshot;
import io.penstock.loader.source.Source;
import io.penstock.model.ErrorCategory;
import io.penstock.model.PenstockException;
import java.lang.System.Logger;
import java.lang.System.Logger.Level;
import java.util.List;
import java.util.Map;
import java.util.Optional;
import java.util.concurrent.CompletableFuture;
import java.util.concurrent.CompletionException;
import java.util.concurrent.ConcurrentHashMap;

/// The models of the configuration, their sources, and the revisions that were pinned of them.
public final class Catalog {
    private static final Logger LOG = System.getLogger(Catalog.class.getName());

    private final Map<String, Source> sources;
    private final SnapshotStore store;
    private final Map<Wanted, CompletableFuture<Snapshot>> resolving = new ConcurrentHashMap<>();

    private record Wanted(String model, String revision) {}

    /// @param sources by the model's name
    public Catalog(Map<String, Source> sources, SnapshotStore store) {
        sources.keySet().forEach(Catalog::checkName);
        this.sources = Map.copyOf(sources);
        this.store = store;
    }

    private static void checkName(String model) {
        if (!model.matches("[A-Za-z0-9][A-Za-z0-9._/-]{0,199}")
                || model.contains("..")
                || model.contains("//")
                || model.contains("--")
                || model.endsWith("/")) {
            throw new PenstockException(
                    ErrorCategory.BAD_INPUT,
                    "'%s' is not a model's name: 1 to 200 letters, digits, '.', '_', '/', '-', "
                            + "no two dots, slashes or dashes in a row",
                    model);
        }
    }

    /// @throws PenstockException NOT_FOUND when the configuration has no such model
    public Source source(String model) {
        Source source = sources.get(model);
        if (source == null) {
            throw new PenstockException(
                    ErrorCategory.NOT_FOUND, "model '%s' is not configured; these are: %s", model, models());
        }
        return source;
    }

    /// @return the configured names, sorted
    public List<String> models() {
        return sources.keySet().stream().sorted().toList();
    }

    /// The files of a revision. An empty one is resolved at the source; where that is away the newest
    /// one that this node knows is used, and the log says so. A named one, once seen, needs no source.
    public Snapshot describe(String model, String revision) {
        Source source = source(model);
        if (!revision.isEmpty() && source.isCached()) {
            Optional<Snapshot> pinned = pinned(model, revision);
            if (pinned.isPresent()) {
                return pinned.get();
            }
        }
        if (store.isReadOnly() && revision.isEmpty() && source.isCached()) {
            Optional<Snapshot> here = store.newest(model);
            if (here.isPresent()) {
                return here.get();
            }
        }
        try {
            return resolveOnce(source, model, revision);
        } catch (PenstockException e) {
            Optional<Snapshot> known = revision.isEmpty() && e.category() == ErrorCategory.UNAVAILABLE
                    ? store.newest(model)
                    : Optional.empty();
            if (known.isEmpty()) {
                throw e;
            }
            LOG.log(
                    Level.WARNING,
                    "model {0}: its source is away, going on with revision {1} from the cache: {2}",
                    model,
                    known.get().revision(),
                    e.getMessage());
            return known.get();
        }
    }

    private Optional<Snapshot> pinned(String model, String revision) {
        return revision.matches("[A-Za-z0-9][A-Za-z0-9._-]{0,127}") ? store.load(model, revision) : Optional.empty();
    }

    /// Callers that ask for the same at the same time share one answer.
    private Snapshot resolveOnce(Source source, String model, String revision) {
        Wanted wanted = new Wanted(model, revision);
        CompletableFuture<Snapshot> mine = new CompletableFuture<>();
        CompletableFuture<Snapshot> there = resolving.putIfAbsent(wanted, mine);
        if (there != null) {
            try {
                return there.join();
            } catch (CompletionException e) {
                throw Failures.of(e.getCause(), model);
            }
        }
        try {
            Snapshot snapshot = source.resolve(model, revision);
            if (source.isCached()) {
                store.save(snapshot);
            }
            mine.complete(snapshot);
            return snapshot;
        } catch (RuntimeException e) {
            mine.completeExceptionally(e);
            throw e;
        } finally {
            resolving.remove(wanted);
        }
    }

    /// A revision that this node knows, to be looked after.
    ///
    /// @throws PenstockException NOT_FOUND when it does not
    public Snapshot cached(String model, String revision) {
        checkName(model);
        return pinned(model, revision)
                .orElseThrow(() -> new PenstockException(
                        ErrorCategory.NOT_FOUND, "the cache knows no revision '%s' of model '%s'", revision, model));
    }

    /// @return the revisions whose bytes may be in the cache
    public List<Snapshot> known() {
        return store.all();
    }
}
