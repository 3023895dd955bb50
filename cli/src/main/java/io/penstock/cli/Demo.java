package io.penstock.cli;

import io.penstock.cli.cluster.ClusterLayout;
import io.penstock.cli.cluster.LoadWatch;
import io.penstock.cli.cluster.LocalCluster;
import io.penstock.cli.cluster.LogEnd;
import io.penstock.cli.cluster.RankSettings;
import io.penstock.cli.cluster.ServiceProcess;
import java.io.IOException;
import java.io.PrintWriter;
import java.nio.file.Files;
import java.nio.file.Path;
import java.time.Duration;
import java.util.HashSet;
import java.util.List;
import java.util.Map;
import java.util.OptionalInt;
import java.util.Set;
import java.util.concurrent.Callable;
import java.util.concurrent.CountDownLatch;
import java.util.concurrent.TimeUnit;
import picocli.CommandLine.Command;
import picocli.CommandLine.Model.CommandSpec;
import picocli.CommandLine.Option;
import picocli.CommandLine.Spec;

/// All of Penstock on this machine: real processes, a real model, an Object Storage emulator to fetch it
/// from.
@Command(
        name = "demo",
        description = {
            "Starts everything on this machine, answers one chat, and stays up until Ctrl-C.",
            "The model comes out of an Object Storage emulator, verified, and is split over shard processes."
        },
        mixinStandardHelpOptions = true)
final class Demo implements Callable<Integer> {
    private static final Duration START_PATIENCE = Duration.ofMinutes(10);
    private static final long POLL_MILLIS = 100;

    @Option(names = "--tp", description = "Tensor-parallel ranks a stage (default: ${DEFAULT-VALUE}).")
    private int tensorParallel = 1;

    @Option(names = "--pp", description = "Pipeline stages (default: ${DEFAULT-VALUE}).")
    private int pipelineParallel = 2;

    @Option(names = "--backend", description = "What computes: cpu, cuda or auto (default: ${DEFAULT-VALUE}).")
    private String backend = "auto";

    @Option(
            names = "--devices",
            split = ",",
            description = "CUDA devices that the ranks take in turn (default: ${DEFAULT-VALUE}).")
    private List<Integer> devices = List.of(0);

    @Option(
            names = "--model",
            description =
                    "A GGUF file, a Hugging Face folder, hf://org/name@revision, or one file of such a repository, "
                            + "hf://org/name@revision/file#sha256=HEX (default: SmolLM2-135M).")
    private String model;

    @Option(names = "--port", description = "The gateway's port (default: 8080, or a free one where it is taken).")
    private Integer port;

    @Option(names = "--once", description = "Exits after the first answer.")
    private boolean once;

    @Option(names = "--prompt", description = "The first question (default: \"${DEFAULT-VALUE}\").")
    private String prompt = "In one sentence: what is a penstock?";

    @Spec
    private CommandSpec spec;

    private final CountDownLatch stop = new CountDownLatch(1);
    private final CountDownLatch stopped = new CountDownLatch(1);

    @Override
    public Integer call() throws IOException {
        PrintWriter out = spec.commandLine().getOut();
        if (port != null && (port < 1 || port > 65_535)) {
            throw new CommandFailure("--port %d: must lie in [1, 65535]", port);
        }
        Path home = Path.of(System.getProperty("penstock.home", ".")).toAbsolutePath();
        ModelSource source = model == null ? ModelSource.standard(home) : ModelSource.of(model);
        source.check(tensorParallel, pipelineParallel);
        ClusterLayout layout = new ClusterLayout(
                home,
                Files.createTempDirectory("penstock-demo-"),
                source.name(),
                source.checkpoint(),
                source.remote(),
                tensorParallel,
                pipelineParallel,
                new RankSettings(backend, devices, Map.of()),
                port == null ? OptionalInt.empty() : OptionalInt.of(port));
        // A run of one answer is over before there is much to learn from it.
        LocalCluster cluster = new LocalCluster(layout, Map.of(), !once);
        // Ctrl-C: this thread started the services and must be the one to end them.
        Thread hook = new Thread(() -> interrupted(cluster.stopPatience()), "stop");
        Runtime.getRuntime().addShutdownHook(hook);
        boolean sound = false;
        try {
            run(cluster, layout, out);
            sound = true;
        } finally {
            out.println("Stopping ...");
            out.flush();
            cluster.close();
            cluster.removeWork(!sound);
            if (!sound) {
                out.println("Logs: " + cluster.logs());
                out.flush();
            }
            stopped.countDown();
        }
        return 0;
    }

    private void interrupted(Duration patience) {
        stop.countDown();
        try {
            if (!stopped.await(patience.toMillis(), TimeUnit.MILLISECONDS)) {
                System.err.println("penstock: the services did not stop in time");
            }
        } catch (InterruptedException e) {
            Thread.currentThread().interrupt();
        }
    }

    private void run(LocalCluster cluster, ClusterLayout layout, PrintWriter out) throws IOException {
        out.printf(
                "%s on %d shard process%s (tensor-parallel %d x pipeline %d); logs in %s%n",
                layout.model(),
                tensorParallel * pipelineParallel,
                tensorParallel * pipelineParallel == 1 ? "" : "es",
                tensorParallel,
                pipelineParallel,
                cluster.logs());
        out.flush();
        cluster.start();
        if (!awaitServing(cluster, layout, out)) {
            return;
        }
        out.printf("%n> %s%n", prompt);
        out.flush();
        ChatStream.Answer answer = new ChatStream(cluster.gateway())
                .ask(layout.model(), List.of(new ChatStream.Message("user", prompt)), 96, 0, piece -> {
                    out.print(piece);
                    out.flush();
                });
        if (answer.text().isBlank()) {
            throw new CommandFailure("the model answered nothing (finish reason %s)", answer.finishReason());
        }
        out.printf(
                "%n%n%d tokens, first after %.0f ms, %.1f tokens/s%n",
                answer.completionTokens(),
                answer.firstTokenMillis(),
                answer.completionTokens() / Math.max(1e-3, (answer.totalMillis() - answer.firstTokenMillis()) / 1e3));
        out.printf("""

                Ask it yourself:
                  curl -N %s/v1/chat/completions -H 'Content-Type: application/json' \\
                    -d '{"model": "%s", "stream": true, "messages": [{"role": "user", "content": "Hello!"}]}'
                  ./penstock chat --url %s
                """, cluster.gateway(), layout.model(), cluster.gateway());
        if (once) {
            return;
        }
        out.println("Up until Ctrl-C.");
        out.flush();
        while (!stopAsked()) {
            cluster.supervise(service -> {
                out.printf("%s had ended and was started again (pid %d)%n", service.name(), service.pid());
                out.flush();
            });
        }
    }

    /// @return false if Ctrl-C came first
    private boolean awaitServing(LocalCluster cluster, ClusterLayout layout, PrintWriter out) throws IOException {
        long deadline = System.nanoTime() + START_PATIENCE.toNanos();
        Set<ServiceProcess> ready = new HashSet<>();
        try (LoadWatch watch = cluster.watchLoad();
                StartProgress progress = new StartProgress(watch, layout.model())) {
            while (!cluster.serving() || ready.size() < cluster.services().size()) {
                if (stopAsked()) {
                    return false;
                }
                for (ServiceProcess service : cluster.services()) {
                    if (!service.alive()) {
                        throw new CommandFailure(
                                "%s ended with exit code %d; the end of its log:%n%s",
                                service.name(), service.exitCode(), LogEnd.of(service.log()));
                    }
                    if (!ready.contains(service) && service.ready()) {
                        ready.add(service);
                        out.printf("%-16s ready  %s  pid %d%n", service.name(), service.http(), service.pid());
                        out.flush();
                    }
                }
                progress.update(out);
                if (System.nanoTime() > deadline) {
                    throw new CommandFailure("not serving after %s", START_PATIENCE);
                }
            }
        }
        return true;
    }

    private boolean stopAsked() {
        try {
            return stop.await(POLL_MILLIS, TimeUnit.MILLISECONDS);
        } catch (InterruptedException e) {
            Thread.currentThread().interrupt();
            return true;
        }
    }
}
