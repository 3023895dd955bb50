package io.penstock.model.checkpoint;

import java.lang.foreign.MemorySegment;
import java.util.Set;

/// The files of a checkpoint, wherever they are: in a folder, or behind a service that hands out their first bytes.
public interface CheckpointFiles {
    /// Relative names, `/`-separated.
    Set<String> names();

    /// @param name one of [#names()]
    /// @return whole length in bytes
    long size(String name);

    /// @param name one of [#names()]
    /// @param atLeast bytes wanted, at most [#size]
    /// @return the file's first bytes, `atLeast` or more of them; read-only in effect
    /// @throws io.penstock.model.PenstockException if they cannot be had
    MemorySegment head(String name, long atLeast);
}
