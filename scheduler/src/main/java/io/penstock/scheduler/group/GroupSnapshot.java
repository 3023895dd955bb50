package io.penstock.scheduler.group;

import io.penstock.api.inference.GroupState;
import io.penstock.api.inference.GroupStatus;

/// What others may see of a group: published by each turn of its loop, read by any.
///
/// @param identity null until a rank has said Hello
/// @param bytesLoaded of the weights, over the ranks attached
/// @param bytesToLoad 0 until a rank has said
/// @param refusal why every request is failed at once; null where it is not
/// @param stalledSince clock at which work last went on, where there is work; -1 where there is none
public record GroupSnapshot(
        String group,
        GroupIdentity identity,
        GroupState state,
        long epoch,
        int ranksAttached,
        long bytesLoaded,
        long bytesToLoad,
        int blockSize,
        int kvBlocks,
        int kvBlocksUsed,
        int running,
        int waiting,
        String refusal,
        long stalledSince) {
    private static final long IN_PROGRESS_MILLIS = 1_000;

    public boolean serving() {
        return state == GroupState.GROUP_STATE_SERVING;
    }

    public boolean serves(String model) {
        return identity != null && identity.model().equals(model);
    }

    public int load() {
        return running + waiting;
    }

    public GroupStatus status(long now) {
        GroupStatus.Builder status = GroupStatus.newBuilder()
                .setGroup(group)
                .setState(state)
                .setEpoch(epoch)
                .setRanksAttached(ranksAttached)
                .setBytesLoaded(bytesLoaded)
                .setBytesToLoad(bytesToLoad)
                .setBlockSize(blockSize)
                .setKvBlocksTotal(kvBlocks)
                .setKvBlocksUsed(kvBlocksUsed)
                .setSequencesRunning(running)
                .setSequencesWaiting(waiting)
                .setStalledMillis(stalledMillis(now))
                .setRefusal(refusal == null ? "" : refusal);
        if (identity != null) {
            status.setModel(identity.model())
                    .setRevision(identity.revision())
                    .setRanksExpected(identity.ranks())
                    .setContextLength(identity.shape().getContextLength())
                    .setVocabularySize(identity.shape().getVocabularySize());
        }
        return status.build();
    }

    private long stalledMillis(long now) {
        if (stalledSince < 0) {
            return 0;
        }
        long millis = (now - stalledSince) / 1_000_000;
        return millis < IN_PROGRESS_MILLIS ? 0 : millis;
    }
}
