package io.penstock.shard.collective.tcp;

/// Where a rank of the group listens.
///
/// @param instance random per process; a restarted rank has another one
public record PeerAddress(int tpRank, int ppStage, String host, int port, String instance) {
    /// Ranks in one order over the whole group: of two, the lower one dials.
    int index(int tpSize) {
        return ppStage * tpSize + tpRank;
    }
}
