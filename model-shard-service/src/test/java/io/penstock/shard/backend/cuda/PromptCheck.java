package io.penstock.shard.backend.cuda;

import io.penstock.shard.backend.cuda.AttentionStage.Case;
import java.util.Arrays;
import java.util.List;
import java.util.stream.IntStream;

/// `prompts.cu` against `attention.cu`, on the same keys, values and queries, where nothing behind a row's last token
/// is a number: prompts in one piece and in chunks, rows of few tokens among them, all ways in which heads share keys,
/// sizes of KV blocks; the same bits each time, and whatever a row is in a step with. Then both kernels' times, and
/// what
/// part of the tensor cores' rate that is.
final class PromptCheck {
    private static final String SWITCH = "penstock.cuda.wide-prompts";
    private static final CudaOptions.Kv KV = CudaOptions.Kv.BF16;
    // A sanitizer's times are none.
    private static final boolean TIMES = Boolean.parseBoolean(System.getProperty("penstock.check.times", "true"));

    /// Small enough for an interpreter.
    private static final List<Case> SMALL = List.of(
            new Case("a head each, blocks of 16", 64, 2, 2, 16, ints(150), ints(150)),
            new Case("several turns a block", 64, 8, 2, 16, ints(150, 70), ints(150, 70)),
            new Case("2 heads share, blocks of 32", 128, 4, 2, 32, ints(300), ints(77)),
            new Case("3 heads share, blocks of 64", 64, 3, 1, 64, ints(128, 1, 200), ints(128, 1, 3)),
            new Case("4 heads share, blocks of 128", 128, 4, 1, 128, ints(129, 257), ints(33, 65)),
            new Case("5 heads share, blocks of 256", 64, 5, 1, 256, ints(600, 20), ints(30, 20)),
            new Case("6 heads share, blocks of 8", 128, 6, 1, 8, ints(50, 3, 140), ints(50, 1, 40)),
            new Case("7 heads share, blocks of 16", 128, 7, 1, 16, ints(1, 400, 19), ints(1, 9, 19)),
            new Case("8 heads share, blocks of 16", 64, 16, 2, 16, ints(520), ints(17)));

    private static final List<Case> LARGE = List.of(
            new Case("several prompts", 128, 28, 4, 16, ints(700, 2_000, 90, 1), ints(700, 300, 90, 1)),
            new Case("small heads", 64, 14, 2, 16, ints(1_500, 33), ints(1_500, 33)),
            new Case("a chunk of a long prompt", 128, 32, 8, 32, ints(20_000, 5_000), ints(512, 1_000)),
            new Case("a head each", 128, 8, 8, 64, ints(1_024, 1_025, 1_023), ints(1_024, 1_025, 1_023)));

    private PromptCheck() {}

    private static int[] ints(int... values) {
        return values;
    }

    private static Case whole(int head, int heads, int kvHeads, int rows, int tokens) {
        int[] all = new int[rows];
        Arrays.fill(all, tokens);
        String name = "%d of %d tokens, %d heads of %d".formatted(rows, tokens, heads, head);
        return new Case(name, head, heads, kvHeads, 16, all, all);
    }

    static void run() {
        try (CudaDevice device = CudaDevice.open(0);
                CudaModules modules = new CudaModules(device)) {
            if (device.computeCapability() != 90) {
                System.out.println("     prompts: not on this device");
                return;
            }
            compare(device, modules);
            LARGE.forEach(each -> compare(device, modules, each));
            List<Case> timed = List.of(
                    whole(128, 28, 4, 1, 512),
                    whole(128, 28, 4, 1, 2_048),
                    whole(128, 28, 4, 4, 512),
                    whole(128, 28, 4, 1, 8_192),
                    whole(64, 14, 2, 1, 2_048));
            for (Case each : TIMES ? timed : List.<Case>of()) {
                time(device, modules, each);
            }
        }
    }

    /// What is small.
    static void compare(CudaDevice device, CudaModules modules) {
        SMALL.forEach(each -> compare(device, modules, each));
    }

    private static AttentionStage stage(CudaDevice device, CudaModules modules, Case each) {
        return new AttentionStage(device, modules, each, KV, SWITCH, true);
    }

    private static void compare(CudaDevice device, CudaModules modules, Case each) {
        try (AttentionStage stage = stage(device, modules, each)) {
            stage.spoil();
            // Weights are rounded to bf16 by other largest scores: the two may end up on either side of a bit more.
            stage.compare("prompts", 1.0 / 64);
            stage.compareParts("prompts");
        }
    }

    private static void time(CudaDevice device, CudaModules modules, Case each) {
        try (AttentionStage stage = stage(device, modules, each)) {
            double products = IntStream.range(0, each.lengths().length)
                    .mapToDouble(row -> each.counts()[row] * (each.lengths()[row] - (each.counts()[row] - 1) / 2.0))
                    .sum();
            double operations = 4 * products * each.heads() * each.head();
            double plain = stage.micros(stage.plain);
            double wide = stage.micros(stage.special);
            System.out.printf(
                    "     prompts, %s: %.1f us = %.0f TFLOP/s; plain %.1f us = %.0f TFLOP/s%n",
                    each.name(), wide, operations / wide / 1e6, plain, operations / plain / 1e6);
        }
    }
}
