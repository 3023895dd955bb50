package io.penstock.cli.system;

import io.penstock.cli.cluster.LocalCluster;
import io.penstock.cli.cluster.ServiceProcess;
import java.io.IOException;
import java.io.UncheckedIOException;
import org.junit.jupiter.api.extension.BeforeEachCallback;
import org.junit.jupiter.api.extension.ExtensionContext;
import org.junit.jupiter.api.extension.ExtensionContext.Namespace;

/// A cluster that several test classes use one after another: starting one takes longer than most tests.
/// Started by the first test that needs it, stopped after the last of the whole run. Each test has to
/// leave it as it was; a new one is started where a failed test has not.
final class SharedCluster implements BeforeEachCallback {
    private static final Namespace CLUSTERS = Namespace.create(SharedCluster.class);

    private record Layout(int tensorParallel, int pipelineParallel) {}

    private final Layout layout;
    private ExtensionContext.Store clusters;

    SharedCluster(int tensorParallel, int pipelineParallel) {
        layout = new Layout(tensorParallel, pipelineParallel);
    }

    @Override
    public void beforeEach(ExtensionContext context) {
        // Of the whole run: what it holds is closed at its end.
        clusters = context.getRoot().getStore(CLUSTERS);
    }

    /// Serving, with nothing in hand.
    LocalCluster get() {
        LocalCluster running = clusters.get(layout, LocalCluster.class);
        if (running != null && sound(running)) {
            return running;
        }
        if (running != null) {
            running.close();
        }
        LocalCluster started = start();
        clusters.put(layout, started);
        return started;
    }

    private static boolean sound(LocalCluster cluster) {
        return cluster.services().stream().allMatch(ServiceProcess::alive) && cluster.serving();
    }

    private LocalCluster start() {
        try {
            return Clusters.start(layout.tensorParallel(), layout.pipelineParallel());
        } catch (IOException e) {
            throw new UncheckedIOException("no cluster", e);
        }
    }
}
