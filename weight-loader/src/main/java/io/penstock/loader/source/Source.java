package io.penstock.loader.source;

import io.penstock.loader.wire.WireRequest;
import io.penstock.model.PenstockException;
import java.nio.file.Path;

/// Where the files of one model come from.
public interface Source {
    /// Lists the files and pins each of them, once, before their first byte is fetched.
    ///
    /// @param model the name that the snapshot will carry
    /// @param revision what is wanted, in the source's terms; empty for the configured or newest one
    /// @throws PenstockException NOT_FOUND, UNAVAILABLE, or CORRUPT when the listing makes no sense
    Snapshot resolve(String model, String revision);

    /// How the bytes of a file are reached.
    ///
    /// @param snapshot as [#resolve] made it, now or before a restart
    /// @param file one of its files
    Access access(Snapshot snapshot, RemoteFile file);

    /// For metrics: `oci`, `s3`, `hf`, `https`, `file`.
    String kind();

    /// Whether bytes pass through the cache, so that a revision outlives its source.
    default boolean isCached() {
        return true;
    }

    sealed interface Access {
        /// They are on this node already; nothing is copied.
        record OnNode(Path path) implements Access {}

        /// By ranged GETs.
        record OverHttp(RangeRequests requests) implements Access {}
    }

    /// Makes the request for a range anew for each attempt, because signatures age.
    @FunctionalInterface
    interface RangeRequests {
        /// @param offset first byte
        /// @param length in bytes, > 0
        /// @return a GET with `Range`, pinned to the file's revision, signed
        WireRequest range(long offset, long length);

        /// The source has refused the credentials of a request: those of the next one are read anew, as after a
        /// rotation, unless that has been done since.
        default void renew(WireRequest refused) {}
    }
}
