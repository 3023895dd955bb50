package io.penstock.shard.step;

import static io.penstock.shard.step.Steps.admission;
import static io.penstock.shard.step.Steps.row;
import static org.assertj.core.api.Assertions.assertThat;
import static org.assertj.core.api.Assertions.assertThatThrownBy;

import io.penstock.api.inference.LogitBias;
import io.penstock.api.inference.Sampling;
import io.penstock.api.shard.Admission;
import io.penstock.api.shard.Step;
import io.penstock.model.ErrorCategory;
import io.penstock.model.PenstockException;
import io.penstock.shard.backend.StepLimits;
import io.penstock.shard.backend.StepPlan;
import java.util.Arrays;
import java.util.function.Consumer;
import org.junit.jupiter.api.Test;

class TestSequenceTable {
    private static final int BLOCKS = 8;
    private final SequenceTable table = new SequenceTable(new StepLimits(4, 3, 10, 32), BLOCKS, 100);
    private final StepPlan plan = table.newPlan();
    private int number;

    @Test
    void chunksOfAPromptThenItsOwnTokens() {
        apply(step -> step.addAdmissions(admission(1, 8, 5, 6, 7)).addRows(row(1, 0, 2, false, 3)));
        assertThat(plan.rows).isEqualTo(1);
        assertThat(plan.samples[0]).isFalse();
        assertThat(Arrays.copyOf(plan.tokens, 2)).containsExactly(5, 6);

        apply(step -> step.addRows(row(1, 2, 1, true)));
        assertThat(plan.tokens[0]).isEqualTo(7);
        assertThat(plan.samples[0]).isTrue();
        assertThat(plan.generatedPosition[0]).isZero();

        apply(step -> step.addRows(row(1, 3, 1, true)));
        assertThat(plan.tokens[0]).isEqualTo(StepPlan.FROM_DEVICE);
        assertThat(plan.generatedPosition[0]).isEqualTo(1);
        assertThat(plan.blockTable[1][0]).isEqualTo(3);

        apply(step -> step.addRows(row(1, 4, 1, true, 0)));
        assertThat(Arrays.copyOf(plan.blockTable[1], 2)).containsExactly(3, 0);
    }

    @Test
    void rowsLieOneBehindAnother() {
        apply(step -> step.addAdmissions(admission(2, 8, 1, 2, 3))
                .addAdmissions(admission(0, 8, 9))
                .addRows(row(2, 0, 3, true, 1))
                .addRows(row(0, 0, 1, true, 2)));
        assertThat(Arrays.copyOf(plan.slot, 2)).containsExactly(2, 0);
        assertThat(Arrays.copyOf(plan.tokenOffset, 2)).containsExactly(0, 3);
        assertThat(Arrays.copyOf(plan.tokens, 4)).containsExactly(1, 2, 3, 9);
        assertThat(plan.totalTokens).isEqualTo(4);
    }

    @Test
    void aPreemptedSequenceGoesOnWhereItWas() {
        // Two prompt tokens, three generated: the next is the fourth generated.
        apply(step -> step.addAdmissions(admission(0, 20, 1, 2, 50, 51, 52).setPromptLength(2))
                .addRows(row(0, 0, 5, true, 0, 1)));
        assertThat(plan.generatedPosition[0]).isEqualTo(3);
        assertThat(plan.sampling[0].promptLength()).isEqualTo(2);
    }

    @Test
    void aSlotAndItsBlocksGoToTheNextSequenceWhileAPlanIsInFlight() {
        apply(step -> step.addAdmissions(admission(0, 8, 1)).addRows(row(0, 0, 1, true, 5)));
        StepPlan second = table.newPlan();
        table.plan(
                step(step -> step.addRetiredSlots(0)
                        .addAdmissions(admission(0, 8, 2))
                        .addRows(row(0, 0, 1, true, 6))),
                second);
        // The plan in flight still sees its own sequence.
        assertThat(plan.blockTable[0][0]).isEqualTo(5);
        assertThat(second.blockTable[0][0]).isEqualTo(6);
        assertThat(second.sampling[0]).isNotSameAs(plan.sampling[0]);
        apply(step -> step.addAdmissions(admission(1, 8, 2)).addRows(row(1, 0, 1, true, 5)));
    }

    @Test
    void refusesStepsOutOfOrder() {
        number = 1;
        refused("step 2 follows step 0", step -> step.addRows(row(0, 0, 1, true)));
    }

    @Test
    void refusesRowsThatDoNotContinueWhatIsKnown() {
        admitTwoOfThree();
        refused("step 2 starts slot 0 at 1, 2 tokens are computed", step -> step.addRows(row(0, 1, 1, false)));
    }

    @Test
    void refusesTokensNobodyKnows() {
        admitTwoOfThree();
        refused("computes 2 tokens of slot 0 from 2, 3 are known", step -> step.addRows(row(0, 2, 2, true)));
    }

    @Test
    void refusesNegativeAndOverflowingCounts() {
        admitTwoOfThree();
        refused("computes -1 tokens", step -> step.addRows(row(0, 2, -1, true)));
        refused("computes 2147483647 tokens", step -> step.addRows(row(0, 2, Integer.MAX_VALUE, true)));
    }

    @Test
    void refusesAnotherOpinionOnSampling() {
        admitTwoOfThree();
        refused("says samples=false of slot 0", step -> step.addRows(row(0, 2, 1, false)));
    }

    @Test
    void refusesTwoRowsOfASlot() {
        admitTwoOfThree();
        refused("two rows of slot 0", step -> step.addRows(row(0, 2, 1, true)).addRows(row(0, 3, 1, true)));
    }

    @Test
    void refusesSlotsThatAreNotThereOrEmptyOrTaken() {
        refused("names slot 3, which holds no sequence", step -> step.addRows(row(3, 0, 1, true)));
        refused("names slot -1", step -> step.addRetiredSlots(-1));
        refused("admits to slot 3, there are 3", step -> step.addAdmissions(admission(3, 8, 1)));
        refused(
                "slot 1, which is in use",
                step -> step.addAdmissions(admission(1, 8, 1)).addAdmissions(admission(1, 8, 1)));
    }

    @Test
    void refusesBlocksThatAreNotThereOrTakenOrTooFew() {
        apply(step -> step.addAdmissions(admission(0, 32, 1)).addRows(row(0, 0, 1, true, 5)));
        refused("appends block 8 to slot 0, there are 8", step -> step.addRows(row(0, 1, 1, true, 8)));
        refused("appends block -1", step -> step.addRows(row(0, 1, 1, true, -1)));
        refused(
                "appends block 5 to slot 1, slot 0 holds it",
                step -> step.addAdmissions(admission(1, 8, 1)).addRows(row(1, 0, 1, true, 5)));
        refused(
                "computes slot 2 up to 5, its 1 blocks hold 4",
                step -> step.addAdmissions(admission(2, 8, 1, 2, 3, 4, 5)).addRows(row(2, 0, 5, true, 1)));
    }

    @Test
    void refusesMoreBlocksThanASequenceCanFill() {
        refused(
                "appends more than 2 blocks to slot 0",
                step -> step.addAdmissions(admission(0, 8, 1)).addRows(row(0, 0, 1, true, 1, 2, 3)));
    }

    @Test
    void refusesMoreTokensThanAStepHolds() {
        refused(
                "computes more than 10 tokens",
                step -> step.addAdmissions(admission(0, 16, new int[11])).addRows(row(0, 0, 11, true, 0, 1, 2)));
    }

    @Test
    void refusesSequencesLongerThanTheModelsContext() {
        refused(
                "a sequence holds 1 to 32",
                step -> step.addAdmissions(admission(0, 33, 1)).addRows(row(0, 0, 1, true, 0)));
        refused(
                "admits 3 tokens of at most 2",
                step -> step.addAdmissions(admission(0, 2, 1, 2, 3)).addRows(row(0, 0, 1, true, 0)));
        refused(
                "samples past the 2 tokens of slot 0",
                step -> step.addAdmissions(admission(0, 2, 1, 2)).addRows(row(0, 0, 2, true, 0)));
    }

    @Test
    void refusesAStepWithoutRows() {
        refused("has no rows", step -> step.addAdmissions(admission(0, 2, 1)));
    }

    @Test
    void refusesSamplingOutOfBoundsAsTheClientsFault() {
        Sampling.Builder bad = Sampling.newBuilder().setTopP(1).setRepetitionPenalty(1);
        badAdmission("temperature is NaN", admission -> admission.setSampling(bad.setTemperature(Float.NaN)));
        badAdmission("top_p is 0.0", admission -> admission.setSampling(Sampling.getDefaultInstance()));
        badAdmission(
                "logit_bias names token 100",
                admission -> admission.setSampling(bad.setTemperature(0)
                        .addLogitBias(LogitBias.newBuilder().setTokenId(100).setBias(1))));
        badAdmission("token is 100, must lie in [0, 99]", admission -> admission.setTokens(0, 100));
        badAdmission("stop token is -1", admission -> admission.addStopTokenIds(-1));
        badAdmission("top_logprobs is 21", admission -> admission.setTopLogprobs(21));
        badAdmission("prompt_length is 2", admission -> admission.setPromptLength(2));
        badAdmission("min_tokens is -1", admission -> admission.setMinTokens(-1));
    }

    private void badAdmission(String message, Consumer<Admission.Builder> change) {
        Admission.Builder admission = admission(0, 8, 1);
        change.accept(admission);
        assertThatThrownBy(() -> new SequenceTable(new StepLimits(4, 3, 10, 32), BLOCKS, 100)
                        .plan(
                                Step.newBuilder()
                                        .setNumber(1)
                                        .addAdmissions(admission)
                                        .addRows(row(0, 0, 1, true, 0))
                                        .build(),
                                plan))
                .isInstanceOfSatisfying(
                        PenstockException.class, e -> assertThat(e.category()).isEqualTo(ErrorCategory.BAD_INPUT))
                .hasMessageContaining("slot 0")
                .hasMessageContaining(message);
    }

    private void admitTwoOfThree() {
        apply(step -> step.addAdmissions(admission(0, 8, 1, 2, 3)).addRows(row(0, 0, 2, false, 0)));
    }

    private Step step(Consumer<Step.Builder> content) {
        Step.Builder step = Step.newBuilder().setNumber(++number);
        content.accept(step);
        return step.build();
    }

    private void apply(Consumer<Step.Builder> content) {
        table.plan(step(content), plan);
    }

    private void refused(String message, Consumer<Step.Builder> content) {
        assertThatThrownBy(() -> apply(content))
                .isInstanceOfSatisfying(
                        PenstockException.class, e -> assertThat(e.category()).isEqualTo(ErrorCategory.CORRUPT))
                .hasMessageContaining(message);
    }
}
