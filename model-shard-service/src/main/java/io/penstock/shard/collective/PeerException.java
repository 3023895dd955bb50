package io.penstock.shard.collective;

import io.penstock.model.ErrorCategory;
import io.penstock.model.PenstockException;

/// A peer is gone, or was silent past the deadline. This rank is sound: it keeps its weights and waits to be
/// configured anew.
public class PeerException extends PenstockException {
    public PeerException(int tpRank, int ppStage, String what, Throwable cause) {
        super(ErrorCategory.UNAVAILABLE, cause, "rank %d of stage %d %s", tpRank, ppStage, what);
    }
}
