package io.penstock.model.checkpoint;

import java.nio.file.Path;

/// Not an error of the file: the part of it at hand ends before what must be read. Whoever fetched it fetches more.
public final class HeadTooShortException extends CheckpointException {
    private final long needed;

    HeadTooShortException(Path file, String where, long present, long needed) {
        super(file, where, "needs the first %d bytes at least, %d are here", needed, present);
        this.needed = needed;
    }

    /// @return bytes from the start of the file without which nothing more can be read; perhaps not yet enough
    public long needed() {
        return needed;
    }
}
