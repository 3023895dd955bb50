package io.penstock.cli.system;

import io.penstock.cli.cluster.ClusterLayout;
import io.penstock.cli.cluster.LocalCluster;
import io.penstock.cli.cluster.RankSettings;
import io.penstock.cli.cluster.ServiceProcess;
import java.io.IOException;
import java.nio.file.Files;
import java.nio.file.Path;
import java.time.Duration;
import java.util.Map;
import java.util.OptionalInt;
import java.util.concurrent.locks.LockSupport;
import java.util.function.BooleanSupplier;

/// Real clusters on the test model, under the build's target folder, where their logs stay.
final class Clusters {
    static final String MODEL = "smollm2-135m-instruct";
    private static final Path HOME = Path.of("..").toAbsolutePath().normalize();
    private static final Duration PATIENCE = Duration.ofMinutes(2);

    private Clusters() {}

    static LocalCluster start(int tensorParallel, int pipelineParallel) throws IOException {
        return start(tensorParallel, pipelineParallel, Map.of());
    }

    /// @param common configuration of every service
    static LocalCluster start(int tensorParallel, int pipelineParallel, Map<String, String> common) throws IOException {
        Path work = Files.createTempDirectory(
                Files.createDirectories(Path.of("target/clusters").toAbsolutePath()),
                "tp%d-pp%d-".formatted(tensorParallel, pipelineParallel));
        LocalCluster cluster = new LocalCluster(
                new ClusterLayout(
                        HOME,
                        work,
                        MODEL,
                        model(),
                        null,
                        tensorParallel,
                        pipelineParallel,
                        RankSettings.automatic(),
                        OptionalInt.empty()),
                common,
                false);
        try {
            cluster.start();
            await("the cluster serves; logs in " + cluster.logs(), () -> {
                for (ServiceProcess service : cluster.services()) {
                    if (!service.alive()) {
                        throw new AssertionError("%s ended with exit code %d, see %s"
                                .formatted(service.name(), service.exitCode(), service.log()));
                    }
                }
                return cluster.serving();
            });
        } catch (Throwable e) {
            cluster.close();
            throw e;
        }
        return cluster;
    }

    static Path model() {
        Path model = cache().resolve("models").resolve(MODEL).resolve(MODEL + ".gguf");
        if (!Files.isRegularFile(model)) {
            throw new AssertionError(model + " is missing: run tools/fetch.sh model");
        }
        return model;
    }

    static Path cache() {
        String configured = System.getenv("PENSTOCK_CACHE");
        return configured == null
                ? Path.of(System.getProperty("user.home"), ".cache", "penstock")
                : Path.of(configured);
    }

    static void await(String what, BooleanSupplier condition) {
        long deadline = System.nanoTime() + PATIENCE.toNanos();
        while (!condition.getAsBoolean()) {
            if (System.nanoTime() > deadline) {
                throw new AssertionError("not within " + PATIENCE + ": " + what);
            }
            LockSupport.parkNanos(Duration.ofMillis(50).toNanos());
        }
    }
}
