package io.penstock.shard.backend.cuda;

import io.penstock.model.sampling.SamplingParameters;
import io.penstock.shard.backend.SlotSampling;
import io.penstock.shard.backend.StepLimits;
import io.penstock.shard.backend.StepOutput;
import io.penstock.shard.backend.StepPlan;
import io.penstock.shard.collective.LocalCollective;
import java.io.IOException;
import java.nio.file.Files;
import java.nio.file.Path;
import java.util.ArrayDeque;
import java.util.ArrayList;
import java.util.Deque;
import java.util.List;
import java.util.Locale;
import java.util.Random;
import jcuda.driver.JCudaDriver;

/// Many requests at once on the bare engine, batched as a scheduler would: in each step a token for every sequence that
/// generates, and chunks of prompts in what the budget leaves; who ends makes room for the next.
final class GpuLoad {
    private static final int SEQUENCES = 512;
    private static final int STEP_TOKENS = Integer.getInteger("penstock.bench.step-tokens", 2_048);
    private static final int LONGEST = 2_048;
    private static final int IDS = 150_000;
    /// The step that a profiler is to see, from 1 on, if there is one.
    private static final long PROFILED = Long.getLong("penstock.bench.profiled-step", -1);

    private final CudaBackend backend;
    private final StepLimits limits = new StepLimits(16, SEQUENCES, STEP_TOKENS, LONGEST);
    private final int[][] table = new int[SEQUENCES][(LONGEST + 15) / 16];
    private final SlotSampling[] sampling = new SlotSampling[SEQUENCES];
    private final StepPlan[] plans = {new StepPlan(limits, table, sampling), new StepPlan(limits, table, sampling)};
    private final Deque<Integer> freeBlocks = new ArrayDeque<>();
    private final Deque<Integer> freeSlots = new ArrayDeque<>();
    private final Deque<Request> waiting = new ArrayDeque<>();
    private final List<Request> running = new ArrayList<>();
    private long number;

    GpuLoad(CudaBackend backend) {
        this.backend = backend;
        int blocks = backend.configure(limits, new LocalCollective());
        for (int i = 0; i < blocks; i++) {
            freeBlocks.add(i);
        }
        for (int i = 0; i < SEQUENCES; i++) {
            freeSlots.add(i);
        }
    }

    /// What is asked for, in tokens.
    record Lengths(int prompt, int output) {}

    private static final class Request {
        final int[] prompt;
        final int wanted;
        int slot;
        int computed;
        int planned;
        int heard;
        final List<Integer> blocks = new ArrayList<>();

        Request(int[] prompt, int wanted) {
            this.prompt = prompt;
            this.wanted = wanted;
        }
    }

    /// @param list lines of number, input tokens, output tokens, below a line of names
    static List<Lengths> read(Path list) throws IOException {
        return Files.readAllLines(list).stream()
                .skip(1)
                .map(line -> line.split(","))
                .map(fields -> new Lengths(Integer.parseInt(fields[1]), Integer.parseInt(fields[2])))
                .toList();
    }

    /// @return seconds until the last token of the last request
    double run(List<Lengths> requests) {
        Random random = new Random(requests.size());
        for (Lengths lengths : requests) {
            waiting.add(new Request(random.ints(lengths.prompt, 100, IDS).toArray(), lengths.output));
        }
        long begun = System.nanoTime();
        Deque<List<Request>> flying = new ArrayDeque<>();
        while (true) {
            List<Request> sampled = new ArrayList<>();
            boolean any = plan(sampled);
            if (any) {
                boolean profiled = number == PROFILED;
                if (profiled) {
                    backend.cudaDevice().synchronize();
                    JCudaDriver.cuProfilerStart();
                }
                backend.submit(plans[(int) (number % 2)]);
                flying.add(sampled);
                if (profiled) {
                    backend.cudaDevice().synchronize();
                    JCudaDriver.cuProfilerStop();
                }
            }
            if (flying.isEmpty()) {
                if (!waiting.isEmpty() || !running.isEmpty()) {
                    throw new AssertionError(
                            "%d wait, %d run, nothing moves".formatted(waiting.size(), running.size()));
                }
                return (System.nanoTime() - begun) / 1e9;
            }
            if (flying.size() == 2 || !any) {
                hear(flying.removeFirst());
            }
        }
    }

    /// @throws IllegalArgumentException if no step had the number that a profiler was to see
    void checkProfiled() {
        if (PROFILED < 1 || PROFILED > number) {
            throw new IllegalArgumentException(
                    "step %d is to be profiled, there were 1 to %d".formatted(PROFILED, number));
        }
    }

    private void hear(List<Request> sampled) {
        StepOutput output = backend.await();
        if (output.count != sampled.size()) {
            throw new AssertionError("%d results for %d rows".formatted(output.count, sampled.size()));
        }
        for (Request request : sampled) {
            if (++request.heard == request.wanted) {
                running.remove(request);
                freeBlocks.addAll(request.blocks);
                freeSlots.add(request.slot);
            }
        }
    }

    private boolean plan(List<Request> sampled) {
        StepPlan plan = plans[(int) ((number + 1) % 2)];
        plan.number = number + 1;
        plan.rows = 0;
        plan.totalTokens = 0;
        // Whoever generates comes first: its one token never waits for a prompt.
        for (Request request : running) {
            if (request.computed >= request.prompt.length) {
                add(plan, request, sampled);
            }
        }
        for (Request request : running) {
            if (request.computed < request.prompt.length) {
                add(plan, request, sampled);
            }
        }
        while (!waiting.isEmpty() && !freeSlots.isEmpty() && plan.totalTokens < STEP_TOKENS && fits(waiting.peek())) {
            Request request = waiting.remove();
            request.slot = freeSlots.remove();
            sampling[request.slot] = new SlotSampling(
                    SamplingParameters.greedy(), request.prompt, request.prompt.length, new int[0], 0, -1);
            running.add(request);
            add(plan, request, sampled);
        }
        if (plan.rows == 0) {
            return false;
        }
        number++;
        return true;
    }

    private boolean fits(Request request) {
        int blocks = (request.prompt.length + request.wanted + 15) / 16;
        return running.stream()
                                .mapToInt(r -> (r.prompt.length + r.wanted + 15) / 16 - r.blocks.size())
                                .sum()
                        + blocks
                <= freeBlocks.size();
    }

    private void add(StepPlan plan, Request request, List<Request> sampled) {
        int known = request.prompt.length + request.planned;
        int count = Math.min(known - request.computed, STEP_TOKENS - plan.totalTokens);
        if (count == 0 || request.planned == request.wanted) {
            return;
        }
        int row = plan.rows++;
        plan.slot[row] = request.slot;
        plan.start[row] = request.computed;
        plan.count[row] = count;
        plan.tokenOffset[row] = plan.totalTokens;
        for (int i = 0; i < count; i++) {
            int position = request.computed + i;
            plan.tokens[plan.totalTokens + i] =
                    position < request.prompt.length ? request.prompt[position] : StepPlan.FROM_DEVICE;
        }
        plan.totalTokens += count;
        request.computed += count;
        while (request.blocks.size() * 16 < request.computed) {
            int block = freeBlocks.remove();
            table[request.slot][request.blocks.size()] = block;
            request.blocks.add(block);
        }
        plan.samples[row] = request.computed == known;
        if (plan.samples[row]) {
            plan.generatedPosition[row] = request.planned++;
            sampled.add(request);
        }
    }

    /// Prints the time of a list, the best of a few runs, and its tokens a second.
    ///
    /// @return seconds
    static double time(CudaBackend backend, String name, List<Lengths> requests, int runs) {
        double best = Double.POSITIVE_INFINITY;
        for (int i = 0; i < runs; i++) {
            best = Math.min(best, new GpuLoad(backend).run(requests));
        }
        int prompts = requests.stream().mapToInt(Lengths::prompt).sum();
        int outputs = requests.stream().mapToInt(Lengths::output).sum();
        System.out.println(String.format(
                Locale.ROOT,
                "%s: %d requests, %d tokens in, %d out, %.3f s: %.0f tokens/s in all, %.0f out",
                name,
                requests.size(),
                prompts,
                outputs,
                best,
                (prompts + outputs) / best,
                outputs / best));
        return best;
    }
}
