package io.penstock.cli;

import io.penstock.model.PenstockException;
import io.penstock.model.checkpoint.QuantisedCopy;
import java.io.PrintWriter;
import java.nio.file.Path;
import java.util.Locale;
import java.util.concurrent.Callable;
import picocli.CommandLine.Command;
import picocli.CommandLine.Model.CommandSpec;
import picocli.CommandLine.Option;
import picocli.CommandLine.Parameters;
import picocli.CommandLine.Spec;

/// `./penstock quantize`: makes a smaller checkpoint of one.
@Command(
        name = "quantize",
        description = {
            "Writes a copy of a Hugging Face folder whose layers' matrices are quantised.",
            "Embeddings, norms and routers stay as they are, and the output matrix unless --lm-head is given."
        },
        mixinStandardHelpOptions = true)
final class Quantize implements Callable<Integer> {
    private static final int MOST_NAMED = 3;

    @Parameters(
            index = "0",
            paramLabel = "FROM",
            description = "Folder with config.json and safetensors (bf16, f16, f32).")
    private Path from;

    @Parameters(index = "1", paramLabel = "TO", description = "Folder to make; must not exist.")
    private Path to;

    @Option(
            names = "--format",
            required = true,
            description = "int4: 4 bits, 128 inputs a scale (compressed-tensors); fp8: e4m3, tiles of 128 x 128.")
    private QuantisedCopy.Format format;

    @Option(names = "--lm-head", description = "Quantise the output matrix too.")
    private boolean withOutput;

    @Spec
    private CommandSpec spec;

    @Override
    public Integer call() {
        QuantisedCopy.Summary summary;
        try {
            summary = QuantisedCopy.write(from, to, format, withOutput);
        } catch (PenstockException e) {
            throw new CommandFailure("%s", e.getMessage());
        }
        PrintWriter out = spec.commandLine().getOut();
        out.printf(
                Locale.ROOT,
                "%s: %d matrices quantised, %d bytes of weights%n",
                to,
                summary.quantised(),
                summary.bytes());
        if (!summary.kept().isEmpty()) {
            out.printf(
                    Locale.ROOT,
                    "%d matrices stay as they are, since 128 does not divide their inputs: %s%s%n",
                    summary.kept().size(),
                    String.join(
                            ", ",
                            summary.kept()
                                    .subList(
                                            0,
                                            Math.min(MOST_NAMED, summary.kept().size()))),
                    summary.kept().size() > MOST_NAMED ? ", ..." : "");
        }
        out.flush();
        return 0;
    }
}
