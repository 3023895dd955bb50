package io.penstock.shard.step;

import io.penstock.model.ErrorCategory;
import io.penstock.model.PenstockException;
import java.util.OptionalInt;

/// Which rank of which group this process is.
///
/// @param model name that clients use
/// @param maxSequences slots that this rank has room for
/// @param maxStepTokens tokens a step that this rank has room for
public record RankPlace(
        String group,
        String model,
        int tpRank,
        int tpSize,
        int ppStage,
        int ppSize,
        int maxSequences,
        int maxStepTokens) {
    private static final int MAX_RANKS = 1_024;
    private static final int MAX_SEQUENCES = 65_536;
    private static final int MAX_STEP_TOKENS = 1 << 20;

    public RankPlace {
        if (group.isBlank() || model.isBlank()) {
            throw new PenstockException(
                    ErrorCategory.BAD_INPUT, "penstock.shard.group and penstock.shard.model must have a value");
        }
        within("tp-size", tpSize, 1, MAX_RANKS);
        within("pp-size", ppSize, 1, MAX_RANKS / tpSize);
        within("tp-rank", tpRank, 0, tpSize - 1);
        within("pp-stage", ppStage, 0, ppSize - 1);
        within("max-sequences", maxSequences, 1, MAX_SEQUENCES);
        within("max-step-tokens", maxStepTokens, 1, MAX_STEP_TOKENS);
    }

    /// @param rank number of the process in its group, all ranks of a stage before the next stage's
    /// @return its tensor-parallel rank; empty where there is no number
    public static OptionalInt tpRank(OptionalInt rank, int tpSize) {
        return rank.isPresent() ? OptionalInt.of(Math.floorMod(rank.getAsInt(), Math.max(1, tpSize))) : rank;
    }

    /// @param rank number of the process in its group, all ranks of a stage before the next stage's
    /// @return its stage; empty where there is no number
    public static OptionalInt ppStage(OptionalInt rank, int tpSize) {
        return rank.isPresent() ? OptionalInt.of(Math.floorDiv(rank.getAsInt(), Math.max(1, tpSize))) : rank;
    }

    private static void within(String key, int value, int least, int most) {
        if (value < least || value > most) {
            throw new PenstockException(
                    ErrorCategory.BAD_INPUT, "penstock.shard.%s is %d, must lie in [%d, %d]", key, value, least, most);
        }
    }

    public int ranks() {
        return tpSize * ppSize;
    }

    @Override
    public String toString() {
        return "rank %d/%d of stage %d/%d, group %s".formatted(tpRank, tpSize, ppStage, ppSize, group);
    }
}
