package io.penstock.shard.step;

import com.google.errorprone.annotations.FormatMethod;
import com.google.errorprone.annotations.FormatString;
import io.penstock.api.shard.Admission;
import io.penstock.api.shard.Row;
import io.penstock.api.shard.Step;
import io.penstock.model.ErrorCategory;
import io.penstock.model.PenstockException;
import io.penstock.shard.backend.SlotSampling;
import io.penstock.shard.backend.StepLimits;
import io.penstock.shard.backend.StepPlan;
import java.util.Arrays;
import java.util.Locale;

/// What this rank knows of the sequences in its slots, in one epoch. It turns a step, which is a diff
/// against this knowledge, into a plan, and believes nothing: whatever does not fit fails the step, with the
/// number that does not.
///
/// A step that failed may have changed the table in part; the epoch is over then.
final class SequenceTable {
    private static final int FREE = -1;

    private final StepLimits limits;
    private final int vocabularySize;
    private final Resident[] slots;
    private final int[] ownerOfBlock;
    // Step in which a slot last had a row, to find two rows of one slot in a step.
    private final long[] lastRow;
    private long number;

    SequenceTable(StepLimits limits, int kvBlocks, int vocabularySize) {
        this.limits = limits;
        this.vocabularySize = vocabularySize;
        slots = new Resident[limits.maxSequences()];
        lastRow = new long[limits.maxSequences()];
        ownerOfBlock = new int[kvBlocks];
        Arrays.fill(ownerOfBlock, FREE);
    }

    StepPlan newPlan() {
        return new StepPlan(limits, new int[limits.maxSequences()][], new SlotSampling[limits.maxSequences()]);
    }

    /// Applies the step and fills the plan with it.
    ///
    /// @param plan not in flight
    /// @throws PenstockException (corrupt, or bad input for what a client could have caused) if the step
    ///     does not fit
    void plan(Step step, StepPlan plan) {
        if (step.getNumber() != number + 1) {
            throw broken(step, "follows step %d", number);
        }
        number = step.getNumber();
        for (int i = 0; i < step.getRetiredSlotsCount(); i++) {
            retire(step, step.getRetiredSlots(i));
        }
        for (int i = 0; i < step.getAdmissionsCount(); i++) {
            admit(step, step.getAdmissions(i));
        }
        plan.number = number;
        plan.rows = 0;
        plan.totalTokens = 0;
        if (step.getRowsCount() == 0) {
            throw broken(step, "has no rows, of %d slots", slots.length);
        }
        for (int i = 0; i < step.getRowsCount(); i++) {
            add(step, step.getRows(i), plan);
        }
    }

    private void retire(Step step, int slot) {
        Resident resident = resident(step, slot);
        for (int i = 0; i < resident.blockCount; i++) {
            ownerOfBlock[resident.blocks[i]] = FREE;
        }
        slots[slot] = null;
    }

    private void admit(Step step, Admission admission) {
        int slot = admission.getSlot();
        if (slot < 0 || slot >= slots.length) {
            throw broken(step, "admits to slot %d, there are %d", slot, slots.length);
        }
        if (slots[slot] != null) {
            throw broken(step, "admits to slot %d, which is in use", slot);
        }
        int maxLength = admission.getMaxLength();
        if (maxLength < 1 || maxLength > limits.maxLength() || admission.getTokensCount() > maxLength) {
            throw broken(
                    step,
                    "admits %d tokens of at most %d to slot %d, a sequence holds 1 to %d",
                    admission.getTokensCount(),
                    maxLength,
                    slot,
                    limits.maxLength());
        }
        try {
            slots[slot] =
                    new Resident(admission, AdmissionMessages.read(admission, vocabularySize), limits.blockSize());
        } catch (PenstockException e) {
            throw new PenstockException(
                    e.category(), e, "step %d admits to slot %d: %s", step.getNumber(), slot, e.getMessage());
        }
    }

    private void add(Step step, Row row, StepPlan plan) {
        int slot = row.getSlot();
        Resident resident = resident(step, slot);
        if (lastRow[slot] == number) {
            throw broken(step, "has two rows of slot %d", slot);
        }
        lastRow[slot] = number;
        int start = row.getStart();
        int count = row.getTokens();
        if (start != resident.computed) {
            throw broken(step, "starts slot %d at %d, %d tokens are computed", slot, start, resident.computed);
        }
        // Subtracted, not added: neither can overflow.
        if (count < 1 || count > resident.known - start) {
            throw broken(
                    step, "computes %d tokens of slot %d from %d, %d are known", count, slot, start, resident.known);
        }
        if (count > limits.maxStepTokens() - plan.totalTokens) {
            throw broken(step, "computes more than %d tokens", limits.maxStepTokens());
        }
        int end = start + count;
        boolean samples = end == resident.known;
        if (row.getSamples() != samples) {
            throw broken(
                    step,
                    "says samples=%s of slot %d, whose %d known tokens end at %d",
                    row.getSamples(),
                    slot,
                    resident.known,
                    end);
        }
        if (samples && resident.known == resident.maxLength) {
            throw broken(step, "samples past the %d tokens of slot %d", resident.maxLength, slot);
        }
        append(step, row, resident);
        if (end > (long) resident.blockCount * limits.blockSize()) {
            throw broken(
                    step,
                    "computes slot %d up to %d, its %d blocks hold %d",
                    slot,
                    end,
                    resident.blockCount,
                    (long) resident.blockCount * limits.blockSize());
        }
        fill(plan, slot, resident, start, count, samples);
        resident.computed = end;
        if (samples) {
            resident.known++;
        }
    }

    private void append(Step step, Row row, Resident resident) {
        for (int i = 0; i < row.getAppendedBlocksCount(); i++) {
            int block = row.getAppendedBlocks(i);
            if (block < 0 || block >= ownerOfBlock.length) {
                throw broken(
                        step, "appends block %d to slot %d, there are %d", block, row.getSlot(), ownerOfBlock.length);
            }
            if (ownerOfBlock[block] != FREE) {
                throw broken(
                        step,
                        "appends block %d to slot %d, slot %d holds it",
                        block,
                        row.getSlot(),
                        ownerOfBlock[block]);
            }
            if (resident.blockCount == resident.blocks.length) {
                throw broken(step, "appends more than %d blocks to slot %d", resident.blockCount, row.getSlot());
            }
            ownerOfBlock[block] = row.getSlot();
            resident.blocks[resident.blockCount++] = block;
        }
    }

    private static void fill(StepPlan plan, int slot, Resident resident, int start, int count, boolean samples) {
        int row = plan.rows++;
        plan.slot[row] = slot;
        plan.start[row] = start;
        plan.count[row] = count;
        plan.tokenOffset[row] = plan.totalTokens;
        plan.samples[row] = samples;
        plan.generatedPosition[row] = resident.known - resident.sampling.promptLength();
        for (int i = 0; i < count; i++) {
            int token = resident.token(start + i);
            plan.tokens[plan.totalTokens++] = token < 0 ? StepPlan.FROM_DEVICE : token;
        }
        // The plan's own: the slot may go to another sequence while this plan is in flight.
        plan.blockTable[slot] = resident.blocks;
        plan.sampling[slot] = resident.sampling;
    }

    private Resident resident(Step step, int slot) {
        if (slot < 0 || slot >= slots.length || slots[slot] == null) {
            throw broken(step, "names slot %d, which holds no sequence", slot);
        }
        return slots[slot];
    }

    @FormatMethod
    private static PenstockException broken(Step step, @FormatString String format, Object... arguments) {
        return new PenstockException(
                ErrorCategory.CORRUPT, "step %d %s", step.getNumber(), String.format(Locale.ROOT, format, arguments));
    }
}
