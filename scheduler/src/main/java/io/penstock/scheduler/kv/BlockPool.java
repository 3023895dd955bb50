package io.penstock.scheduler.kv;

import java.util.ArrayDeque;
import java.util.Arrays;

/// The KV blocks of a shard group in one epoch, as numbers: which are free, how often each is held. The
/// memory itself is in the shards. Owned by whoever has the group.
///
/// INVARIANT: a block is reused only after the step that last wrote it has reported, by all ranks.
public final class BlockPool {
    private final int[] holders;
    /// The block freed last is taken first: its memory is in the caches, and a shard's pages that
    /// no load has needed so far stay untouched.
    private final ArrayDeque<Integer> free = new ArrayDeque<>();
    /// Blocks nobody holds any more, in order of the step that may still write them.
    private final ArrayDeque<Freed> freed = new ArrayDeque<>();

    private long reported;

    private record Freed(int block, long lastStep) {}

    /// @param blocks numbered from 0
    public BlockPool(int blocks) {
        holders = new int[blocks];
        for (int block = 0; block < blocks; block++) {
            free.add(block);
        }
    }

    public int capacity() {
        return holders.length;
    }

    /// Blocks that can be taken now.
    public int free() {
        return free.size();
    }

    /// Blocks that become free once steps in flight have reported.
    public int awaitingReport() {
        return freed.size();
    }

    /// Blocks that some sequence holds.
    public int held() {
        return holders.length - free.size() - freed.size();
    }

    /// @return a free block, held once
    public int take() {
        if (free.isEmpty()) {
            throw new IllegalStateException("no KV block is free");
        }
        int block = free.remove();
        holders[block] = 1;
        return block;
    }

    /// Another sequence holds `block` too.
    public void retain(int block) {
        if (holders[block] == 0) {
            throw new IllegalStateException("KV block " + block + " is not held");
        }
        holders[block]++;
    }

    /// Gives one hold back.
    ///
    /// @param lastStep the last step in which the holder wrote or read the block
    public void release(int block, long lastStep) {
        if (holders[block] == 0) {
            throw new IllegalStateException("KV block " + block + " is released, but not held");
        }
        if (--holders[block] > 0) {
            return;
        }
        if (lastStep <= reported) {
            free.push(block);
        } else {
            freed.add(new Freed(block, lastStep));
        }
    }

    /// All ranks have reported `step` and all before it.
    public void stepReported(long step) {
        reported = step;
        // Not sorted: a preempted sequence may have been in an older step than one freed before it.
        for (int n = freed.size(); n > 0; n--) {
            Freed next = freed.remove();
            if (next.lastStep <= step) {
                free.push(next.block);
            } else {
                freed.add(next);
            }
        }
    }

    /// @param tables of all sequences that hold blocks
    /// @throws IllegalStateException if a block is lost, free twice, or not held by as many tables as
    ///     counted
    public void checkIntegrity(Iterable<BlockTable> tables) {
        int[] seen = new int[holders.length];
        for (BlockTable table : tables) {
            for (int i = 0; i < table.size(); i++) {
                seen[table.block(i)]++;
            }
        }
        if (!Arrays.equals(seen, holders)) {
            int block = Arrays.mismatch(seen, holders);
            throw new IllegalStateException(
                    "KV block %d is in %d tables, counted %d".formatted(block, seen[block], holders[block]));
        }
        free.forEach(block -> seen[block]++);
        freed.forEach(block -> seen[block.block()]++);
        for (int block = 0; block < seen.length; block++) {
            int expected = Math.max(holders[block], 1);
            if (seen[block] != expected) {
                throw new IllegalStateException(
                        "KV block %d is %s".formatted(block, seen[block] < 1 ? "lost" : "free twice or while held"));
            }
        }
    }
}
