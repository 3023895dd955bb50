package io.penstock.bench;

import io.penstock.bench.cpu.CpuBench;
import io.penstock.bench.load.LoadGenerator;
import io.penstock.bench.services.ServicesBench;
import io.penstock.bench.soak.SoakBench;
import io.penstock.bench.tokenizers.TokenizerBench;
import io.penstock.bench.weights.WeightsBench;
import picocli.CommandLine;
import picocli.CommandLine.Command;
import picocli.CommandLine.HelpCommand;

/// `./penstock bench`: what the project's figures are measured with.
@Command(
        name = "bench",
        description = "Measures.",
        mixinStandardHelpOptions = true,
        subcommands = {
            LoadGenerator.class,
            CpuBench.class,
            TokenizerBench.class,
            WeightsBench.class,
            ServicesBench.class,
            SoakBench.class,
            HelpCommand.class
        })
public final class Bench {
    private Bench() {}

    static void main(String[] arguments) {
        System.exit(new CommandLine(new Bench()).execute(arguments));
    }
}
