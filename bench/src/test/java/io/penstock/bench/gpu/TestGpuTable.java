package io.penstock.bench.gpu;

import static org.assertj.core.api.Assertions.assertThat;

import java.io.IOException;
import java.nio.file.Files;
import java.nio.file.Path;
import java.util.List;
import org.junit.jupiter.api.BeforeEach;
import org.junit.jupiter.api.Test;
import org.junit.jupiter.api.io.TempDir;

/// `bench/gpu/table.py` on figures whose shares and ratios can be worked out by hand: a wrong one
/// would be believed.
final class TestGpuTable {
    private static final Path SCRIPTS = Path.of("gpu").toAbsolutePath();
    private static final String MACHINE = """
            {"engine":"penstock","row":"ceiling","value":3.9,"unit":"TB/s","format":"BF16","machine":"NVIDIA H200"}
            {"engine":"penstock","row":"ceiling","value":4.0,"unit":"TB/s","format":"INT4","machine":"NVIDIA H200"}
            {"engine":"penstock","row":"gemm","value":800,"unit":"TFLOP/s","format":"BF16"}
            """;

    @TempDir
    Path folder;

    private Path figures;

    @BeforeEach
    void machine() throws IOException {
        figures = folder.resolve("figures.jsonl");
        Files.writeString(figures, MACHINE);
    }

    private String table(String more) throws IOException, InterruptedException {
        Files.writeString(figures, Files.readString(figures) + more);
        return run("table.py", figures.toString(), folder.resolve("table").toString());
    }

    private String run(String script, String... arguments) throws IOException, InterruptedException {
        Path printed = folder.resolve("printed");
        ProcessBuilder builder =
                new ProcessBuilder("python3", SCRIPTS.resolve(script).toString());
        builder.command().addAll(List.of(arguments));
        Path input = folder.resolve("input");
        if (Files.exists(input)) {
            builder.redirectInput(input.toFile());
        }
        int code = builder.redirectErrorStream(true)
                .redirectOutput(printed.toFile())
                .start()
                .waitFor();
        String text = Files.readString(printed);
        assertThat(code).as(text).isZero();
        return text;
    }

    private List<String> cells(String line) throws IOException {
        String found = Files.readAllLines(folder.resolve("table.csv")).stream()
                .filter(each -> each.startsWith(line))
                .findFirst()
                .orElseThrow();
        return List.of(found.substring(line.length()).split(",", -1));
    }

    @Test
    void sharesAreOfTheBestCeilingAndRatiosOfTheirTime() throws IOException, InterruptedException {
        String text = table("""
                {"engine":"penstock","row":"decode","value":4.0,"unit":"ms","format":"BF16","batch":1,"context":"128-640","weights":14000000000,"kv":800000000}
                {"engine":"penstock","row":"decode","value":5.6,"unit":"ms","format":"BF16","batch":8,"context":"128-640","weights":14000000000,"kv":6400000000}
                {"engine":"yardstick","row":"decode","value":3.9,"unit":"ms","format":"BF16","batch":1,"context":"128-640"}
                {"engine":"vllm","row":"decode","value":9.9,"unit":"ms","format":"BF16","batch":1,"context":"128-640"}
                {"engine":"vllm","row":"decode","value":5.0,"unit":"ms","format":"BF16","batch":1,"context":"128-640"}
                """);
        assertThat(text).contains("NVIDIA H200: read ceiling 4.000 TB/s, bf16 products 800 TFLOP/s");
        // Of 16 GB in 4 ms: 14, and 14.8. The figure said last counts.
        assertThat(cells("\"decode, batch 1, context 128-640\","))
                .containsExactly("BF16", "ms", "4", "3.9", "", "5", "87.5 %", "92.5 %", "1.25", "");
        // 6.4 GB take 1.6 ms of 5.6: as long as batch 1.
        assertThat(cells("\"decode, batch 8, context 128-640\","))
                .containsExactly("BF16", "ms", "5.6", "", "", "", "62.5 %", "91.1 %", "", "1.00");
        assertThat(text).contains("| decode, batch 8, context 128-640 | BF16 | ms | 5.6 | - |");
    }

    @Test
    void ratesAndPromptsAreReadTheirWay() throws IOException, InterruptedException {
        table("""
                {"engine":"penstock","row":"mix of 500","value":28000,"unit":"tok/s","format":"FP8_ROWS, vectors FP8"}
                {"engine":"vllm","row":"mix of 500","value":20000,"unit":"tok/s","format":"FP8_ROWS"}
                {"engine":"penstock","row":"first token","value":50,"unit":"ms","format":"BF16","tokens":2048,"flops":3e13}
                {"engine":"dd","row":"dd, disk","value":5.0,"unit":"GB/s","format":"BF16"}
                {"engine":"penstock","row":"load, disk","value":4.0,"unit":"GB/s","format":"BF16"}
                """);
        assertThat(cells("mix of 500,"))
                .containsExactly("FP8_ROWS", "tok/s", "\"28", "000\"", "", "", "\"20", "000\"", "", "", "1.40", "");
        assertThat(cells("\"first token, 2048 tokens\",")).element(7).isEqualTo("75.0 %");
        assertThat(cells("\"load, disk\",")).element(7).isEqualTo("80.0 % of dd's 5");
        assertThat(Files.readString(folder.resolve("table.md"))).doesNotContain("dd, disk");
    }

    @Test
    void idleIsWhatKernelsLeaveOfAStep() throws IOException, InterruptedException {
        Files.writeString(folder.resolve("input"), """
                ==PROF== noise
                "ID","Kernel Name","Metric Name","Metric Unit","Metric Value"
                "0","decode128x1","gpu__time_duration.sum","ns","3,400,000"
                "1","sample","gpu__time_duration.sum","us","20.0"
                """);
        String busy = run("kernels.py", "BF16", "1", "128-192")
                .lines()
                .filter(line -> line.startsWith("FIGURE "))
                .findFirst()
                .orElseThrow()
                .substring("FIGURE ".length());
        Files.delete(folder.resolve("input"));
        table(busy + """

                {"engine":"penstock","row":"idle","value":3.6,"unit":"ms","format":"BF16","batch":1,"context":"128-192","weights":1,"kv":1}
                """);
        assertThat(cells("\"device idle in a decode step, batch 1\",")).startsWith("BF16", "share", "5.0 %");
    }

    @Test
    void figuresOfSeveralMachinesAreNotTakenForOne() throws IOException, InterruptedException {
        assertThat(table("""
                {"engine":"penstock","row":"ceiling","value":3.0,"unit":"TB/s","format":"BF16","machine":"NVIDIA H100"}
                """)).contains("several machines").contains("NVIDIA H100, NVIDIA H200");
    }

    @Test
    void theScriptsAreBashThatParses() throws IOException, InterruptedException {
        for (String script : List.of("run.sh", "table.sh", "pack.sh")) {
            int code = new ProcessBuilder("bash", "-n", SCRIPTS.resolve(script).toString())
                    .inheritIO()
                    .start()
                    .waitFor();
            assertThat(code).as(script).isZero();
        }
    }
}
