package io.penstock.cli;

import io.penstock.cli.weights.Weights;
import java.util.Arrays;
import java.util.stream.Stream;
import picocli.CommandLine;
import picocli.CommandLine.Command;
import picocli.CommandLine.HelpCommand;

/// `./penstock`: the command line. `verify` is in the shell script beside it, since it builds this class.
@Command(
        name = "penstock",
        description = "Serves large language models from the JVM.",
        mixinStandardHelpOptions = true,
        version = "penstock 0.1.0",
        footer = {
            "",
            "Also: 'penstock verify' builds everything and runs every test; 'penstock push' is 'penstock weights push'.",
        },
        subcommands = {Demo.class, Chat.class, Weights.class, Quantize.class, HelpCommand.class})
public final class Penstock {
    private Penstock() {}

    static void main(String[] arguments) {
        System.exit(commandLine().execute(inFull(arguments)));
    }

    /// `penstock push` is short for `penstock weights push`.
    private static String[] inFull(String[] arguments) {
        return arguments.length > 0 && arguments[0].equals("push")
                ? Stream.concat(Stream.of("weights"), Arrays.stream(arguments)).toArray(String[]::new)
                : arguments;
    }

    static CommandLine commandLine() {
        CommandLine line = new CommandLine(new Penstock()).setCaseInsensitiveEnumValuesAllowed(true);
        // A failure the user can act on is one line; only a defect of ours shows its stack.
        line.setExecutionExceptionHandler((failure, command, parsed) -> {
            if (failure instanceof CommandFailure) {
                command.getErr().println("penstock: " + failure.getMessage());
                return 1;
            }
            throw failure;
        });
        return line;
    }
}
