package io.penstock.shard.backend.cuda;

import io.penstock.shard.backend.cuda.AttentionStage.Case;
import java.util.Arrays;
import java.util.List;
import java.util.Random;
import java.util.stream.IntStream;

/// `contexts.cu` against `attention.cu`, on the same keys, values and queries: mixed lengths, all ways in which heads
/// share keys, sizes of KV blocks, both kinds of keys and values; the same bits each time. Then both kernels' times,
/// and what
/// part of the read ceiling their bytes are.
final class ContextCheck {
    private static final String SWITCH = "penstock.cuda.streamed-contexts";
    // A sanitizer's times are none.
    private static final boolean TIMES = Boolean.parseBoolean(System.getProperty("penstock.check.times", "true"));

    private ContextCheck() {}

    private static Case mixed(
            String name, int head, int heads, int kvHeads, int block, int rows, int longest, int most) {
        Random random = new Random(rows);
        int[] counts = random.ints(rows, 1, most + 1).toArray();
        int[] lengths = IntStream.of(counts)
                .map(count -> count + random.nextInt(longest))
                .toArray();
        return new Case(name, head, heads, kvHeads, block, lengths, counts);
    }

    private static Case even(int rows, int length) {
        int[] counts = new int[rows];
        Arrays.fill(counts, 1);
        int[] lengths = new int[rows];
        Arrays.fill(lengths, length);
        return new Case("%d rows of %d".formatted(rows, length), 128, 28, 4, 16, lengths, counts);
    }

    static void run() {
        try (CudaDevice device = CudaDevice.open(0);
                CudaModules modules = new CudaModules(device)) {
            if (device.computeCapability() != 90) {
                System.out.println("     contexts: not on this device");
                return;
            }
            for (CudaOptions.Kv kv : CudaOptions.Kv.values()) {
                for (Case each : List.of(
                        mixed("many", 128, 28, 4, 16, 256, 400, 1),
                        mixed("several tokens, blocks of 8", 64, 14, 2, 8, 40, 1_000, 2),
                        mixed("blocks of 32", 128, 16, 8, 32, 9, 3_000, 8),
                        mixed("a head each, blocks of 64", 128, 8, 8, 64, 20, 700, 16),
                        mixed("16 heads share, blocks of 128", 128, 64, 4, 128, 3, 20_000, 1),
                        mixed("small heads", 64, 8, 8, 16, 33, 2_000, 1),
                        mixed("small heads, many", 64, 32, 8, 16, 300, 90, 3),
                        new Case("one key", 128, 28, 4, 16, new int[] {1}, new int[] {1}),
                        new Case("all new", 128, 12, 2, 16, new int[] {2, 1, 2}, new int[] {2, 1, 2}),
                        new Case("one long", 128, 28, 4, 16, new int[] {30_001}, new int[] {1}))) {
                    compare(device, modules, each, kv);
                }
                List<Case> timed =
                        List.of(even(64, 192), even(256, 192), even(8, 8_192), even(8, 32_768), even(1, 32_768));
                for (Case each : TIMES ? timed : List.<Case>of()) {
                    time(device, modules, each, kv);
                }
            }
        }
    }

    private static AttentionStage stage(CudaDevice device, CudaModules modules, Case each, CudaOptions.Kv kv) {
        return new AttentionStage(device, modules, each, kv, SWITCH, false);
    }

    private static void compare(CudaDevice device, CudaModules modules, Case each, CudaOptions.Kv kv) {
        try (AttentionStage stage = stage(device, modules, each, kv)) {
            stage.compare("contexts, " + kv, 1.0 / 128);
        }
    }

    private static void time(CudaDevice device, CudaModules modules, Case each, CudaOptions.Kv kv) {
        try (AttentionStage stage = stage(device, modules, each, kv)) {
            double bytes = 2.0
                    * kv.bytes()
                    * each.kvHeads()
                    * each.head()
                    * IntStream.of(each.lengths()).sum();
            double plain = stage.micros(stage.plain);
            double streamed = stage.micros(stage.special);
            System.out.printf(
                    "     contexts, %s, %s: %.1f us = %.2f TB/s; plain %.1f us = %.2f TB/s%n",
                    kv, each.name(), streamed, bytes / streamed / 1e6, plain, bytes / plain / 1e6);
        }
    }
}
