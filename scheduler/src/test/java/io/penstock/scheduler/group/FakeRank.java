package io.penstock.scheduler.group;

import static org.assertj.core.api.Assertions.assertThat;

import io.penstock.api.inference.Token;
import io.penstock.api.shard.Admission;
import io.penstock.api.shard.Configure;
import io.penstock.api.shard.Failure;
import io.penstock.api.shard.FailureCause;
import io.penstock.api.shard.Hello;
import io.penstock.api.shard.ModelShape;
import io.penstock.api.shard.Ready;
import io.penstock.api.shard.Row;
import io.penstock.api.shard.Sampled;
import io.penstock.api.shard.ShardOrder;
import io.penstock.api.shard.ShardReport;
import io.penstock.api.shard.Step;
import io.penstock.api.shard.StepDone;
import io.penstock.model.ErrorCategory;
import io.penstock.model.PenstockException;
import java.util.ArrayDeque;
import java.util.ArrayList;
import java.util.Arrays;
import java.util.HashMap;
import java.util.HashSet;
import java.util.List;
import java.util.Map;
import java.util.Set;

/// A rank that keeps to `shard.proto` and lets the scheduler get away with nothing: it checks every order
/// when it is sent and again when it runs, and keeps a KV memory in which an overwritten block is noticed.
public final class FakeRank implements RankLink {
    private final Hello.Builder hello;
    private final int kvBlocks;

    private final ArrayDeque<ShardOrder> orders = new ArrayDeque<>();
    private long epoch;
    private long sentEpoch;
    private Configure configured;
    private long sent;
    private long done;
    private long[][] memory = new long[0][];
    private final Map<Integer, Resident> slots = new HashMap<>();

    // What was promised at sending, ahead of what has run.
    private final Map<Integer, List<Integer>> blocksOfSlot = new HashMap<>();
    private final Map<Integer, Long> lastUseOfSlot = new HashMap<>();
    private long[] lastUseOfBlock = new long[0];

    /// Steps reported by all ranks of the group; the test keeps it.
    public long reportedByAll;

    /// Of this rank; the test keeps it.
    public long lastReported;

    /// Traceparents of the steps sent.
    public final List<String> traceparents = new ArrayList<>();

    /// Trace contexts of the sequences admitted.
    public final List<Map<String, String>> admittedTraces = new ArrayList<>();

    public PenstockException cut;
    /// Most steps that were ever in flight.
    public int deepest;
    /// Steps sent that held a sequence already in an unreported step.
    public int dependent;

    public Rank attachment;
    /// A prompt token that makes the step fail; -1: none.
    public int poison = -1;
    /// Why the rank can obey no Configure; null: it can.
    public String refusal;

    private static final class Resident {
        final Admission admission;
        final List<Integer> tokens;
        final List<Integer> blocks = new ArrayList<>();
        int computed;

        Resident(Admission admission) {
            this.admission = admission;
            tokens = new ArrayList<>(admission.getTokensList());
        }
    }

    public FakeRank(
            String group, String model, int tpRank, int tpSize, int stage, int stages, int kvBlocks, int context) {
        this.kvBlocks = kvBlocks;
        hello = Hello.newBuilder()
                .setProtocol(1)
                .setModel(model)
                .setGroup(group)
                .setTpRank(tpRank)
                .setTpSize(tpSize)
                .setPpStage(stage)
                .setPpSize(stages)
                .setInstance("i" + tpRank + "." + stage)
                .setPeerHost("localhost")
                .setPeerPort(1 + tpRank + stage * tpSize)
                .setDevice("fake")
                .setMaxSequences(1_000)
                .setMaxStepTokens(10_000)
                .setShape(ModelShape.newBuilder()
                        .setArchitecture("fake")
                        .setLayers(30)
                        .setContextLength(context)
                        .setVocabularySize(FakeModel.VOCABULARY));
    }

    public Hello.Builder hello() {
        return hello;
    }

    public long epoch() {
        return epoch;
    }

    public Configure configured() {
        return configured;
    }

    /// A stream has begun: what an earlier one sent is void.
    public void dialled() {
        orders.clear();
        cut = null;
        sentEpoch = 0;
    }

    @Override
    public void cut(PenstockException reason) {
        cut = reason;
    }

    @Override
    public void send(ShardOrder order) {
        assertThat(cut).as("an order after the cut").isNull();
        switch (order.getOrderCase()) {
            case CONFIGURE -> {
                assertThat(order.getEpoch()).isGreaterThan(Math.max(epoch, sentEpoch));
                sentEpoch = order.getEpoch();
                sent = 0;
                reportedByAll = 0;
                blocksOfSlot.clear();
                lastUseOfSlot.clear();
                lastUseOfBlock = new long[kvBlocks];
            }
            case STEP -> {
                assertThat(order.getEpoch()).isEqualTo(sentEpoch);
                checkSent(order.getStep());
            }
            case ORDER_NOT_SET -> throw new AssertionError(order);
        }
        orders.add(order);
    }

    private void checkSent(Step step) {
        assertThat(step.getNumber()).isEqualTo(++sent);
        traceparents.add(step.getTraceparent());
        step.getAdmissionsList().forEach(admission -> admittedTraces.add(admission.getTraceContextMap()));
        deepest = Math.max(deepest, (int) (sent - reportedByAll));
        for (int slot : step.getRetiredSlotsList()) {
            assertThat(blocksOfSlot.remove(slot)).as("retired slot %d", slot).isNotNull();
        }
        for (Admission admission : step.getAdmissionsList()) {
            int slot = admission.getSlot();
            assertThat(lastUseOfSlot.getOrDefault(slot, 0L))
                    .as("last step of slot %d, given out again", slot)
                    .isLessThanOrEqualTo(reportedByAll);
            assertThat(blocksOfSlot.put(slot, new ArrayList<>()))
                    .as("slot in use")
                    .isNull();
        }
        for (Row row : step.getRowsList()) {
            if (lastUseOfSlot.getOrDefault(row.getSlot(), 0L) > reportedByAll && row.getTokens() == 1) {
                dependent++;
            }
            lastUseOfSlot.put(row.getSlot(), sent);
            List<Integer> table = blocksOfSlot.get(row.getSlot());
            assertThat(table).as("slot %d was admitted", row.getSlot()).isNotNull();
            for (int block : row.getAppendedBlocksList()) {
                demand(lastUseOfBlock[block] <= reportedByAll, "a block is given out again too early");
                table.add(block);
            }
            for (int block : table) {
                lastUseOfBlock[block] = sent;
            }
        }
        Set<Integer> held = new HashSet<>();
        blocksOfSlot
                .values()
                .forEach(table -> table.forEach(block -> demand(held.add(block), "a block is held twice")));
    }

    /// As an assertion, without the cost of one: asked millions of times.
    private static void demand(boolean holds, String otherwise) {
        if (!holds) {
            throw new AssertionError(otherwise);
        }
    }

    public boolean hasOrders() {
        return !orders.isEmpty();
    }

    /// Runs the oldest order.
    public ShardReport run() {
        ShardOrder order = orders.remove();
        ShardReport.Builder report = ShardReport.newBuilder();
        if (order.hasConfigure() && refusal != null) {
            epoch = order.getEpoch();
            report.setFailure(failure(FailureCause.FAILURE_CAUSE_STEP, 0).toBuilder()
                    .setCategory(ErrorCategory.BAD_INPUT.name())
                    .setMessage(refusal));
        } else if (order.hasConfigure()) {
            configure(order);
            report.setReady(Ready.newBuilder().setKvBlocks(kvBlocks));
        } else {
            Step step = order.getStep();
            if (poisoned(step)) {
                report.setFailure(failure(FailureCause.FAILURE_CAUSE_STEP, step.getNumber()));
                orders.clear();
            } else {
                report.setStepDone(run(step));
            }
        }
        return report.setEpoch(epoch).build();
    }

    public ShardReport fail(FailureCause cause) {
        orders.clear();
        return ShardReport.newBuilder()
                .setEpoch(epoch)
                .setFailure(failure(cause, done + 1))
                .build();
    }

    private static Failure failure(FailureCause cause, long step) {
        return Failure.newBuilder()
                .setCause(cause)
                .setCategory("INTERNAL")
                .setMessage("on purpose")
                .setStep(step)
                .build();
    }

    private boolean poisoned(Step step) {
        for (Admission admission : step.getAdmissionsList()) {
            if (admission.getTokens(0) == poison) {
                return true;
            }
        }
        return false;
    }

    private void configure(ShardOrder order) {
        configured = order.getConfigure();
        epoch = order.getEpoch();
        done = 0;
        slots.clear();
        memory = new long[kvBlocks][configured.getBlockSize()];
        assertThat(configured.getPeersCount()).isEqualTo(hello.getTpSize() * hello.getPpSize());
        hello.setLoadedFirstLayer(configured.getFirstLayer()).setLoadedLayerCount(configured.getLayerCount());
    }

    private StepDone run(Step step) {
        assertThat(step.getNumber()).isEqualTo(++done);
        step.getRetiredSlotsList()
                .forEach(slot ->
                        assertThat(slots.remove(slot)).as("retired slot").isNotNull());
        for (Admission admission : step.getAdmissionsList()) {
            assertThat(admission.getSlot()).isBetween(0, configured.getMaxSequences() - 1);
            assertThat(admission.getTokensCount()).isLessThan(admission.getMaxLength());
            assertThat(slots.put(admission.getSlot(), new Resident(admission))).isNull();
        }
        StepDone.Builder report =
                StepDone.newBuilder().setNumber(step.getNumber()).setComputeMicros(10);
        boolean reportsSamples = hello.getTpRank() == 0 && hello.getPpStage() == hello.getPpSize() - 1;
        int total = 0;
        Set<Integer> rows = new HashSet<>();
        for (Row row : step.getRowsList()) {
            assertThat(rows.add(row.getSlot())).as("one row a slot").isTrue();
            total += row.getTokens();
            Resident resident = slots.get(row.getSlot());
            long hash = compute(resident, row);
            boolean samples = resident.computed == resident.tokens.size();
            assertThat(row.getSamples()).isEqualTo(samples);
            if (samples) {
                int token = FakeModel.next(hash);
                resident.tokens.add(token);
                assertThat(resident.tokens.size()).isLessThanOrEqualTo(resident.admission.getMaxLength());
                if (reportsSamples) {
                    report.addSampled(Sampled.newBuilder()
                            .setSlot(row.getSlot())
                            .setToken(Token.newBuilder().setId(token)));
                }
            }
        }
        assertThat(total).isBetween(1, configured.getMaxStepTokens());
        return report.build();
    }

    /// @return the hash of all computed
    private long compute(Resident resident, Row row) {
        assertThat(row.getStart()).isEqualTo(resident.computed);
        assertThat(row.getTokens()).isPositive();
        resident.blocks.addAll(row.getAppendedBlocksList());
        int size = configured.getBlockSize();
        int end = row.getStart() + row.getTokens();
        assertThat(end).isLessThanOrEqualTo(resident.tokens.size());
        assertThat(resident.blocks.size() * size).as("positions with a block").isGreaterThanOrEqualTo(end);
        long hash = 0;
        for (int position = 0; position < end; position++) {
            hash = FakeModel.extend(hash, resident.tokens.get(position));
            long[] block = memory[resident.blocks.get(position / size)];
            if (position >= resident.computed) {
                block[position % size] = hash;
            } else {
                demand(block[position % size] == hash, "the KV of a position is another's");
            }
        }
        resident.computed = end;
        return hash;
    }

    @Override
    public String toString() {
        return "rank %d.%d, blocks %s"
                .formatted(hello.getTpRank(), hello.getPpStage(), Arrays.toString(lastUseOfBlock));
    }
}
