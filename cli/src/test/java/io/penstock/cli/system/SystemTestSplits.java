package io.penstock.cli.system;

import io.penstock.cli.cluster.LocalCluster;
import java.util.ArrayList;
import java.util.List;
import java.util.concurrent.ExecutorService;
import java.util.concurrent.Executors;
import java.util.concurrent.Future;
import org.junit.jupiter.api.Test;
import org.junit.jupiter.api.extension.RegisterExtension;
import org.junit.jupiter.params.ParameterizedTest;
import org.junit.jupiter.params.provider.CsvSource;

/// The model answers what it should, however it is split: twenty chats at once through all four
/// services, each token and log-probability against float32 arithmetic.
final class SystemTestSplits {
    @RegisterExtension
    static final SharedCluster WHOLE = new SharedCluster(1, 1);

    @RegisterExtension
    static final SharedCluster TWO_STAGES = new SharedCluster(1, 2);

    @Test
    void whole() throws Exception {
        assertAnswersAsTheReference(WHOLE.get());
    }

    @Test
    void inTwoStages() throws Exception {
        assertAnswersAsTheReference(TWO_STAGES.get());
    }

    @ParameterizedTest(name = "tensor-parallel {0} x pipeline {1}")
    @CsvSource({"1, 3", "2, 1", "3, 1", "3, 2"})
    void inMoreParts(int tensorParallel, int pipelineParallel) throws Exception {
        try (LocalCluster cluster = Clusters.start(tensorParallel, pipelineParallel)) {
            assertAnswersAsTheReference(cluster);
        }
    }

    private static void assertAnswersAsTheReference(LocalCluster cluster) throws Exception {
        try (ExecutorService clients = Executors.newVirtualThreadPerTaskExecutor()) {
            Client client = new Client(cluster.gateway());
            List<Future<Completion>> completions = new ArrayList<>();
            for (Reference reference : Reference.all()) {
                completions.add(clients.submit(
                        () -> client.stream(Client.chat(Clusters.MODEL, reference.messages(), 48), tokens -> {})));
            }
            for (int i = 0; i < completions.size(); i++) {
                Reference.all().get(i).check(completions.get(i).get());
            }
        }
    }
}
