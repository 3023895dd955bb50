package io.penstock.cli.system;

import static org.assertj.core.api.Assertions.assertThat;

import io.penstock.cli.cluster.LocalCluster;
import io.penstock.cli.cluster.ServiceProcess;
import java.util.ArrayList;
import java.util.List;
import java.util.concurrent.CountDownLatch;
import java.util.concurrent.ExecutorService;
import java.util.concurrent.Executors;
import java.util.concurrent.Future;
import org.junit.jupiter.api.extension.RegisterExtension;
import org.junit.jupiter.params.ParameterizedTest;
import org.junit.jupiter.params.provider.ValueSource;

/// A process killed in mid-stream and started again costs its users a pause: every stream finishes,
/// with the tokens it would have had.
final class SystemTestRecovery {
    @RegisterExtension
    static final SharedCluster CLUSTER = new SharedCluster(1, 2);

    @ParameterizedTest
    @ValueSource(strings = {"shard tp0 pp0", "shard tp0 pp1", "scheduler"})
    void streamsSurviveTheDeathOf(String victim) throws Exception {
        LocalCluster cluster = CLUSTER.get();
        try (ExecutorService clients = Executors.newVirtualThreadPerTaskExecutor()) {
            Client client = new Client(cluster.gateway());
            List<Reference> references = Reference.all().stream()
                    .filter(reference -> reference.ids().size() == 48)
                    .toList();
            CountDownLatch inMidStream = new CountDownLatch(1);
            List<Future<Completion>> completions = new ArrayList<>();
            for (Reference reference : references) {
                completions.add(clients.submit(() ->
                        client.stream(Client.chat(Clusters.MODEL, reference.messages(), 48), tokens -> {
                            if (tokens >= 8) {
                                inMidStream.countDown();
                            }
                        })));
            }
            inMidStream.await();
            ServiceProcess service = cluster.service(victim);
            service.kill();
            assertThat(completions).as("streams cut").anyMatch(completion -> !completion.isDone());
            service.start();
            for (int i = 0; i < completions.size(); i++) {
                references.get(i).check(completions.get(i).get());
            }
            assertThat(cluster.services()).allMatch(ServiceProcess::alive);
        }
    }
}
