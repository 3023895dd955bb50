package io.penstock.bench.load;

import java.net.URI;
import java.util.concurrent.Callable;
import java.util.concurrent.ExecutionException;
import picocli.CommandLine.Command;
import picocli.CommandLine.Mixin;
import picocli.CommandLine.Option;

/// `./penstock bench load`: closed-loop load on an OpenAI-style server, each stream checked
/// ([ClosedLoop]).
@Command(
        name = "load",
        mixinStandardHelpOptions = true,
        description = "Closed-loop streamed chats; exits 1 if any stream was wrong.")
public final class LoadGenerator implements Callable<Integer> {
    @Option(names = "--url", description = "The gateway (default: ${DEFAULT-VALUE}).")
    private URI url = URI.create("http://localhost:8080");

    @Option(names = "--model", required = true, description = "Model to ask.")
    private String model;

    @Mixin
    private ClosedLoop load;

    @Override
    public Integer call() throws InterruptedException, ExecutionException {
        return load.run(url, model) ? 0 : 1;
    }
}
