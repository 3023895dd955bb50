package io.penstock.shard;

import static org.assertj.core.api.Assertions.assertThat;

import io.grpc.Server;
import io.grpc.netty.NettyServerBuilder;
import io.grpc.stub.StreamObserver;
import io.penstock.api.shard.Configure;
import io.penstock.api.shard.ShardGroupGrpc;
import io.penstock.api.shard.ShardOrder;
import io.penstock.api.shard.ShardReport;
import io.quarkus.test.common.QuarkusTestResource;
import io.quarkus.test.common.QuarkusTestResourceLifecycleManager;
import io.quarkus.test.common.http.TestHTTPResource;
import io.quarkus.test.junit.QuarkusTest;
import java.io.IOException;
import java.net.InetAddress;
import java.net.InetSocketAddress;
import java.net.URI;
import java.net.http.HttpClient;
import java.net.http.HttpRequest;
import java.net.http.HttpResponse;
import java.util.Map;
import java.util.concurrent.BlockingQueue;
import java.util.concurrent.LinkedBlockingQueue;
import java.util.concurrent.TimeUnit;
import org.junit.jupiter.api.Test;

/// The process as it is deployed: from settings alone, with its probes and metrics.
@QuarkusTest
@QuarkusTestResource(TestShardProcess.Surroundings.class)
class TestShardProcess {
    @TestHTTPResource("/q/")
    private URI management;

    @Test
    void isReadyOnceASchedulerHasConfiguredItAndNotBefore() throws Exception {
        StreamObserver<ShardOrder> orders = Surroundings.attached.poll(30, TimeUnit.SECONDS);
        assertThat(orders).as("an attachment").isNotNull();
        assertThat(status("health/live")).isEqualTo(200);
        assertThat(status("health/ready")).isEqualTo(503);
        orders.onNext(ShardOrder.newBuilder()
                .setEpoch(5)
                .setConfigure(Configure.newBuilder()
                        .setLayerCount(30)
                        .setBlockSize(16)
                        .setMaxSequences(4)
                        .setMaxStepTokens(32)
                        .setCollectiveTimeoutMillis(1_000))
                .build());
        ShardReport report;
        do {
            report = Surroundings.reports.poll(60, TimeUnit.SECONDS);
            assertThat(report).as("a report").isNotNull();
        } while (!report.hasReady());
        assertThat(status("health/ready")).isEqualTo(200);
        assertThat(get("metrics").body())
                .contains("penstock_shard_epoch{group=\"default\",pp_stage=\"0\",tp_rank=\"0\"} 5.0");
    }

    private int status(String path) throws IOException, InterruptedException {
        return get(path).statusCode();
    }

    private HttpResponse<String> get(String path) throws IOException, InterruptedException {
        try (HttpClient client = HttpClient.newHttpClient()) {
            return client.send(
                    HttpRequest.newBuilder(management.resolve(path)).build(), HttpResponse.BodyHandlers.ofString());
        }
    }

    /// A scheduler on a port of its own, and the settings that lead to it.
    public static final class Surroundings implements QuarkusTestResourceLifecycleManager {
        static final BlockingQueue<StreamObserver<ShardOrder>> attached = new LinkedBlockingQueue<>();
        static final BlockingQueue<ShardReport> reports = new LinkedBlockingQueue<>();
        private Server server;

        @Override
        public Map<String, String> start() {
            try {
                server = NettyServerBuilder.forAddress(new InetSocketAddress(InetAddress.getLoopbackAddress(), 0))
                        // As the scheduler does: a rank that warms up for long says no more than that it is there.
                        .permitKeepAliveTime(5, TimeUnit.SECONDS)
                        .addService(new Scheduler())
                        .build()
                        .start();
            } catch (IOException e) {
                throw new AssertionError(e);
            }
            return Map.of(
                    "penstock.shard.scheduler", "127.0.0.1:" + server.getPort(),
                    "penstock.shard.model", "m",
                    "penstock.shard.backend", "cpu",
                    "penstock.shard.threads", "1",
                    "penstock.shard.kv-memory", "16M",
                    "penstock.shard.checkpoint", RealModel.path().toString(),
                    "quarkus.http.test-port", "0");
        }

        @Override
        public void stop() {
            server.shutdownNow();
        }
    }

    private static final class Scheduler extends ShardGroupGrpc.ShardGroupImplBase {
        @Override
        public StreamObserver<ShardReport> attach(StreamObserver<ShardOrder> orders) {
            return new StreamObserver<>() {
                @Override
                public void onNext(ShardReport report) {
                    if (report.hasHello()) {
                        Surroundings.attached.add(orders);
                    } else {
                        Surroundings.reports.add(report);
                    }
                }

                @Override
                public void onError(Throwable failure) {}

                @Override
                public void onCompleted() {
                    orders.onCompleted();
                }
            };
        }
    }
}
