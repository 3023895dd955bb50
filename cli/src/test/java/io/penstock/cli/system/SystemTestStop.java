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
import org.junit.jupiter.api.Test;
import org.junit.jupiter.api.extension.RegisterExtension;

/// A rolling upgrade tells each service in turn to stop. None may cost a stream its end, nor end as if it had failed.
final class SystemTestStop {
    private static final int STREAMS = 4;
    private static final int TOKENS = 48;

    @RegisterExtension
    static final SharedCluster CLUSTER = new SharedCluster(1, 2);

    private final List<Reference> references = Reference.all().stream()
            .filter(reference -> reference.ids().size() == TOKENS)
            .limit(STREAMS)
            .toList();

    @Test
    void streamsOutliveTheStopOfEachService() throws Exception {
        LocalCluster cluster = CLUSTER.get();
        try (ExecutorService clients = Executors.newVirtualThreadPerTaskExecutor()) {
            Client client = new Client(cluster.gateway());

            // What runs is finished before the process ends: nobody is there to take it over.
            for (String name : List.of("scheduler", "gateway")) {
                List<Future<Completion>> streams = streamsUnderWay(client, clients);
                stop(cluster.service(name));
                check(streams);
                cluster.service(name).start();
                Clusters.await(name + " serves again", cluster::serving);
            }

            // What runs waits for the rank to come back.
            List<Future<Completion>> streams = streamsUnderWay(client, clients);
            stop(cluster.service("shard tp0 pp1"));
            assertThat(streams).as("streams without a rank").anyMatch(stream -> !stream.isDone());
            cluster.service("shard tp0 pp1").start();
            check(streams);

            // It has given all it had to give.
            streams = streamsUnderWay(client, clients);
            stop(cluster.service("weight-loader"));
            check(streams);
            cluster.service("weight-loader").start();
        }
    }

    /// Each has had a few tokens, so none waits in a queue.
    private List<Future<Completion>> streamsUnderWay(Client client, ExecutorService clients)
            throws InterruptedException {
        List<Future<Completion>> streams = new ArrayList<>();
        List<CountDownLatch> begun = new ArrayList<>();
        for (Reference reference : references) {
            CountDownLatch tokens = new CountDownLatch(1);
            begun.add(tokens);
            streams.add(clients.submit(() ->
                    client.stream(Client.chat(Clusters.MODEL, reference.messages(), TOKENS), count -> {
                        if (count >= 4) {
                            tokens.countDown();
                        }
                    })));
        }
        for (CountDownLatch tokens : begun) {
            tokens.await();
        }
        return streams;
    }

    private static void stop(ServiceProcess service) {
        service.terminate();
        Clusters.await(service.name() + " ends; its log is " + service.log(), () -> !service.alive());
        assertThat(service.exitCode())
                .as("exit code of the %s, told to stop; its log is %s", service.name(), service.log())
                .isZero();
    }

    private void check(List<Future<Completion>> streams) throws Exception {
        for (int i = 0; i < streams.size(); i++) {
            references.get(i).check(streams.get(i).get());
        }
    }
}
