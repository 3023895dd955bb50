package io.penstock.shard.collective.tcp;

import io.penstock.model.ErrorCategory;
import io.penstock.model.PenstockException;
import java.time.Duration;
import java.util.HashMap;
import java.util.List;
import java.util.Map;

/// Who is in the group in one epoch.
///
/// @param self this rank, one of `peers`
/// @param peers all ranks, each once
/// @param timeout how long a peer may be silent before it is asked whether it is there; one that is not ends
///     the epoch
public record Membership(
        long epoch, int tpSize, int ppSize, PeerAddress self, List<PeerAddress> peers, Duration timeout) {
    public Membership {
        peers = List.copyOf(peers);
        Map<Integer, PeerAddress> byIndex = new HashMap<>();
        for (PeerAddress peer : peers) {
            if (peer.tpRank() < 0 || peer.tpRank() >= tpSize || peer.ppStage() < 0 || peer.ppStage() >= ppSize) {
                throw new PenstockException(
                        ErrorCategory.BAD_INPUT,
                        "epoch %d names rank %d of stage %d, the group is %d x %d",
                        epoch,
                        peer.tpRank(),
                        peer.ppStage(),
                        tpSize,
                        ppSize);
            }
            byIndex.put(peer.index(tpSize), peer);
        }
        if (byIndex.size() != peers.size() || peers.size() != tpSize * ppSize) {
            throw new PenstockException(
                    ErrorCategory.BAD_INPUT,
                    "epoch %d names %d peers (%d distinct), the group is %d x %d",
                    epoch,
                    peers.size(),
                    byIndex.size(),
                    tpSize,
                    ppSize);
        }
        if (!peers.contains(self)) {
            throw new PenstockException(
                    ErrorCategory.BAD_INPUT, "epoch %d does not name this rank as it is: %s", epoch, self);
        }
        if (timeout.isNegative() || timeout.isZero()) {
            throw new PenstockException(ErrorCategory.BAD_INPUT, "collective timeout is %s, must be above 0", timeout);
        }
    }

    PeerAddress at(int tpRank, int ppStage) {
        return peers.stream()
                .filter(peer -> peer.tpRank() == tpRank && peer.ppStage() == ppStage)
                .findFirst()
                .orElseThrow();
    }
}
