package io.penstock.loader.transfer;

import io.penstock.loader.cache.Blob;
import io.penstock.loader.cache.CacheDirectory;
import io.penstock.loader.cache.DurableTier;
import io.penstock.loader.cache.DurableTier.Demote;
import io.penstock.loader.cache.Eviction;
import io.penstock.loader.source.RemoteFile;
import io.penstock.loader.source.Snapshot;
import io.penstock.model.PenstockException;
import java.lang.System.Logger;
import java.lang.System.Logger.Level;
import java.nio.file.Path;
import java.util.List;
import java.util.Optional;
import java.util.function.IntConsumer;

/// The fast tier, which everything passes, and the durable one behind it where there is one. A durable tier that
/// fails costs time, never a transfer: what it does not give comes from the source, what it does not take stays in
/// the fast tier alone.
final class Tiers implements AutoCloseable {
    private static final Logger LOG = System.getLogger(Tiers.class.getName());

    private final CacheDirectory fast;
    private final Eviction fastEviction;
    private final Optional<DurableTier> durable;
    private final LoaderMetrics metrics;
    private final Eviction.Usage fastUsage;
    private final Eviction.Usage durableUsage;

    /// @param use what is in use, in whichever tier
    Tiers(
            CacheDirectory fast,
            Eviction fastEviction,
            Optional<DurableTier> durable,
            LoaderMetrics metrics,
            Eviction.Usage use) {
        this.fast = fast;
        this.fastEviction = fastEviction;
        this.durable = durable;
        this.metrics = metrics;
        this.fastUsage = new Counted(LoaderMetrics.FAST, use);
        this.durableUsage = new Counted(LoaderMetrics.DURABLE, use);
        metrics.watchVolume(LoaderMetrics.FAST, fast::usableBytes);
        durable.ifPresent(tier -> {
            metrics.watchVolume(LoaderMetrics.DURABLE, tier::usableBytes);
            fastEviction.store().adopt(tier.store());
            if (tier.takes(Demote.EVICTED)) {
                fastEviction.beforeLeaving(this::demoteLeaving);
            }
        });
    }

    /// What is in use or pinned stays in either tier; pins are the fast tier's.
    private final class Counted implements Eviction.Usage {
        private final String tier;
        private final Eviction.Usage use;

        Counted(String tier, Eviction.Usage use) {
            this.tier = tier;
            this.use = use;
        }

        @Override
        public boolean isInUse(Snapshot snapshot) {
            return use.isInUse(snapshot) || fastEviction.store().isPinned(snapshot);
        }

        @Override
        public boolean ifIdle(Snapshot snapshot, Runnable action) {
            if (fastEviction.store().isPinned(snapshot) || !use.ifIdle(snapshot, action)) {
                return false;
            }
            metrics.evicted(tier);
            return true;
        }
    }

    void makeRoom(long bytes) {
        fastEviction.makeRoom(bytes, fastUsage);
    }

    boolean evictOldest() {
        return fastEviction.evictOldest(fastUsage);
    }

    /// Out of both tiers.
    long evict(Snapshot snapshot) {
        long freed = fastEviction.evict(snapshot, fastUsage);
        return freed + durable.map(tier -> tier.evict(snapshot, durableUsage)).orElse(0L);
    }

    long bytesDurable(RemoteFile file) {
        return durable.map(tier -> tier.bytesPresent(file)).orElse(0L);
    }

    /// @return where the file is to be used in the durable tier; empty where it is not
    Optional<Path> inPlace(Snapshot snapshot, RemoteFile file) {
        return durable.filter(tier -> !tier.promotes() && !fast.holds(file) && tier.holds(file))
                .map(tier -> tier.path(snapshot, file));
    }

    /// A file that the fast tier lacks, to be copied into it; the caller closes it.
    Optional<Blob> promotable(RemoteFile file) {
        try {
            return durable.filter(DurableTier::promotes).flatMap(tier -> tier.open(file));
        } catch (PenstockException e) {
            failed(file, e);
            return Optional.empty();
        }
    }

    /// The durable tier has not given what it should have.
    void failed(RemoteFile file, PenstockException failure) {
        metrics.tierFailure(LoaderMetrics.DURABLE);
        LOG.log(
                Level.WARNING,
                "{0}: the durable tier fails, going on without it: {1}",
                file.name(),
                failure.getMessage());
    }

    /// @return whether a file that is complete is to be copied to the durable tier now
    boolean takes(RemoteFile file) {
        return durable.filter(tier -> tier.takes(Demote.COMPLETE) && !tier.holds(file))
                .isPresent();
    }

    /// Copies a complete file to the durable tier. Blocks.
    void demote(Snapshot snapshot, Blob blob) {
        try {
            metrics.demoted(durable.orElseThrow().keep(snapshot, blob, durableUsage));
        } catch (PenstockException e) {
            failed(blob.file(), e);
        }
    }

    /// Reads again what the durable tier holds of a file.
    ///
    /// @return pieces that were wrong
    /// @throws PenstockException UNAVAILABLE where the tier cannot be read at all
    List<Integer> recheck(RemoteFile file, IntConsumer onRead) {
        try {
            List<Integer> wrong =
                    durable.map(tier -> tier.recheck(file, onRead)).orElse(List.of());
            if (!wrong.isEmpty()) {
                metrics.checksumFailure(LoaderMetrics.DURABLE);
            }
            return wrong;
        } catch (PenstockException e) {
            metrics.tierFailure(LoaderMetrics.DURABLE);
            throw e;
        }
    }

    /// @param from of the fast tier
    /// @return whether the durable tier's file is whole and right again
    boolean mend(Snapshot snapshot, Blob from, List<Integer> pieces) {
        return durable.map(tier -> tier.mend(snapshot, from, pieces)).orElse(false);
    }

    private void demoteLeaving(Snapshot snapshot, RemoteFile file) {
        try (Blob blob = fast.openComplete(file)) {
            demote(snapshot, blob);
        } catch (PenstockException e) {
            failed(file, e);
        }
    }

    @Override
    public void close() {
        durable.ifPresent(DurableTier::close);
    }
}
