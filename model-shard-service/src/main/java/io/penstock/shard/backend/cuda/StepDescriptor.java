package io.penstock.shard.backend.cuda;

import io.penstock.model.ErrorCategory;
import io.penstock.model.PenstockException;
import io.penstock.shard.backend.SlotSampling;
import io.penstock.shard.backend.StepLimits;
import io.penstock.shard.backend.StepPlan;
import java.lang.foreign.MemorySegment;
import java.lang.foreign.ValueLayout;
import java.util.Arrays;

/// A step in the words that kernels read (`Step` in common.cuh), written into page-locked memory. What
/// it says of slots (blocks appended, sequences admitted) lies behind what it says of tokens.
final class StepDescriptor {
    static final int HEADER = 16;
    static final int TOKENS = 0;
    static final int DECODE_ROWS = 1;
    static final int PREFILL_ITEMS = 2;
    static final int SAMPLES = 3;
    static final int TABLE_UPDATES = 4;
    static final int ADMISSIONS = 5;
    static final int PARITY = 6;
    static final int SERIAL = 7;

    private final MemorySegment words;
    private final int maxLength;
    private final ContextShares shares;
    private final int prefillTile;
    // Of each tile, the keys that it sees, and its place among them as rows have them; its row and first query.
    private final long[] tiles;
    private final int[] tileRow;
    private final int[] tileQuery;
    private int maxTokens;
    private int maxRows;
    private int end;
    private int updates;
    private final int[] pendingSlots;
    private final SlotSampling[] pendingSequences;
    private int pending;
    private int pendingWords;

    /// @param words of [#capacity] words
    /// @param contextBlocks that contexts are shared among
    /// @param prefillTile queries of a block of the prefill kernel
    StepDescriptor(MemorySegment words, StepLimits limits, int contextBlocks, int prefillTile) {
        this.words = words;
        this.prefillTile = prefillTile;
        int mostTiles = limits.maxStepTokens() + limits.maxSequences();
        tiles = new long[mostTiles];
        tileRow = new int[mostTiles];
        tileQuery = new int[mostTiles];
        shares = new ContextShares(contextBlocks, limits.maxSequences());
        maxLength = limits.maxLength();
        pendingSlots = new int[limits.maxSequences()];
        pendingSequences = new SlotSampling[limits.maxSequences()];
    }

    /// Words of the part that does not depend on what is said of slots.
    static int fixedWords(int maxTokens, int maxRows) {
        return HEADER + 3 * maxTokens + 8 * maxRows + 2 * (maxTokens + maxRows) + ContextShares.WORDS;
    }

    /// Words that always suffice for any one slot behind the largest fixed part; whole 16 bytes, as they are copied.
    static int capacity(StepLimits limits) {
        int blocks = (limits.maxLength() + limits.blockSize() - 1) / limits.blockSize();
        int slot = 3 * blocks + SlotRecord.WORDS + 4 + limits.maxLength();
        int words = fixedWords(limits.maxStepTokens(), limits.maxSequences()) + 3 * limits.maxSequences() + 2 * slot;
        return (words + 3) / 4 * 4;
    }

    void begin(StepBucket bucket, int parity) {
        begin(bucket.tokens(), bucket.rows(), parity);
    }

    private void begin(int tokens, int rows, int parity) {
        maxTokens = tokens;
        maxRows = rows;
        end = fixedWords(tokens, rows);
        updates = 0;
        pending = 0;
        pendingWords = 0;
        for (int i = 0; i < HEADER; i++) {
            set(i, 0);
        }
        set(PARITY, parity);
    }

    /// @param admitted the sequence new to the slot, or null
    /// @return whether this much news of another slot fits
    boolean hasRoom(int blocks, SlotSampling admitted) {
        long needed = end + pendingWords + 3L * blocks + (admitted == null ? 0 : SlotRecord.words(admitted));
        return needed * 4 <= words.byteSize();
    }

    void appendBlock(int slot, int index, int block) {
        set(end, slot);
        set(end + 1, index);
        set(end + 2, block);
        end += 3;
        set(TABLE_UPDATES, ++updates);
    }

    /// Written behind all blocks, by [#writeAdmissions].
    void admit(int slot, SlotSampling sampling) {
        pendingSlots[pending] = slot;
        pendingSequences[pending++] = sampling;
        pendingWords += SlotRecord.words(sampling);
    }

    /// Ends what is said of slots.
    void writeAdmissions(int vocabulary) {
        for (int i = 0; i < pending; i++) {
            end = SlotRecord.write(words, end, pendingSlots[i], pendingSequences[i], vocabulary);
            pendingSequences[i] = null;
        }
        set(ADMISSIONS, pending);
        pending = 0;
        pendingWords = 0;
    }

    /// Writes tokens and rows.
    ///
    /// @param group query heads that share a key/value head, of which there are `kvHeads`
    /// @param few whether rows of few queries go to the decode kernel
    /// @param known the last id of each slot, for a rank that does not sample; null to leave ids to the
    ///     device
    /// @throws PenstockException (bad input) if a token or a position does not exist: the device would
    ///     read past its arrays
    void describe(StepPlan plan, int group, int kvHeads, boolean few, int vocabulary, int[] known) {
        int position = HEADER + maxTokens;
        int slots = position + maxTokens;
        int decodeRow = slots + maxTokens;
        int rowSlot = decodeRow + maxRows;
        int rowStart = rowSlot + maxRows;
        int rowCount = rowStart + maxRows;
        int rowOffset = rowCount + maxRows;
        int sampleToken = rowOffset + maxRows;
        int sampleSlot = sampleToken + maxRows;
        int samplePosition = sampleSlot + maxRows;
        int items = samplePosition + maxRows;
        shares.clear();
        int decodeRows = 0;
        int prefillItems = 0;
        int samples = 0;
        for (int row = 0; row < plan.rows; row++) {
            int slot = plan.slot[row];
            int count = plan.count[row];
            int offset = plan.tokenOffset[row];
            if (plan.start[row] < 0 || count < 1 || plan.start[row] > maxLength - count) {
                throw new PenstockException(
                        ErrorCategory.BAD_INPUT,
                        "slot %d: %d tokens at position %d, sequences have at most %d",
                        slot,
                        count,
                        plan.start[row],
                        maxLength);
            }
            set(rowSlot + row, slot);
            set(rowStart + row, plan.start[row]);
            set(rowCount + row, count);
            set(rowOffset + row, offset);
            for (int i = 0; i < count; i++) {
                int id = plan.tokens[offset + i];
                if (id == StepPlan.FROM_DEVICE) {
                    id = known == null ? id : known[slot];
                } else if (id < 0 || id >= vocabulary) {
                    throw new PenstockException(
                            ErrorCategory.BAD_INPUT, "slot %d: token %d, the vocabulary has %d", slot, id, vocabulary);
                }
                set(HEADER + offset + i, id);
                set(position + offset + i, plan.start[row] + i);
                set(slots + offset + i, slot);
            }
            if (few && StepBucket.isDecode(count, group)) {
                set(decodeRow + decodeRows++, row);
                shares.add(plan.start[row] + count);
            } else {
                for (int query = 0; query < count * group; query += prefillTile) {
                    long keys = (long) plan.start[row] + Math.min(count, (query + prefillTile - 1) / group + 1);
                    tiles[prefillItems] = keys << 32 | prefillItems;
                    tileRow[prefillItems] = row;
                    tileQuery[prefillItems] = query;
                    prefillItems++;
                }
            }
            if (plan.samples[row]) {
                set(sampleToken + samples, offset + count - 1);
                set(sampleSlot + samples, slot);
                set(samplePosition + samples, plan.generatedPosition[row]);
                samples++;
            }
        }
        // Kernels begin with the last ones, which see the most keys, so that blocks end together.
        Arrays.sort(tiles, 0, prefillItems);
        for (int i = 0; i < prefillItems; i++) {
            set(items + 2 * i, tileRow[(int) tiles[i]]);
            set(items + 2 * i + 1, tileQuery[(int) tiles[i]]);
        }
        shares.write(words, items + 2 * (maxTokens + maxRows), kvHeads);
        set(SERIAL, (int) plan.number);
        set(TOKENS, plan.totalTokens);
        set(DECODE_ROWS, decodeRows);
        set(PREFILL_ITEMS, prefillItems);
        set(SAMPLES, samples);
    }

    /// @return words written
    int end() {
        return end;
    }

    private void set(int at, int value) {
        words.setAtIndex(ValueLayout.JAVA_INT, at, value);
    }
}
