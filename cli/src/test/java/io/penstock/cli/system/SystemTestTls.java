package io.penstock.cli.system;

import static org.assertj.core.api.Assertions.assertThat;
import static org.assertj.core.api.Assertions.catchThrowableOfType;

import com.fasterxml.jackson.databind.JsonNode;
import io.grpc.Channel;
import io.grpc.ManagedChannel;
import io.grpc.Status;
import io.grpc.StatusRuntimeException;
import io.grpc.netty.NettyChannelBuilder;
import io.penstock.api.CertificateAuthority;
import io.penstock.api.ErrorStatus;
import io.penstock.api.MutualTls;
import io.penstock.api.inference.InferenceGrpc;
import io.penstock.api.inference.WatchRequest;
import io.penstock.api.weights.DescribeRequest;
import io.penstock.api.weights.WeightLoaderGrpc;
import io.penstock.cli.cluster.LocalCluster;
import io.penstock.cli.cluster.ServiceProcess;
import java.io.IOException;
import java.nio.file.Files;
import java.nio.file.Path;
import java.util.List;
import java.util.Map;
import java.util.Optional;
import java.util.concurrent.TimeUnit;
import java.util.function.Consumer;
import java.util.regex.Matcher;
import java.util.regex.Pattern;
import org.junit.jupiter.api.Test;
import org.junit.jupiter.api.io.TempDir;

/// With certificates set for all services, the system works and strangers in its network are kept out.
final class SystemTestTls {
    private static final Pattern LISTENS = Pattern.compile("Started gRPC server on 127\\.0\\.0\\.1:(\\d+)");

    @TempDir
    Path folder;

    @Test
    void servicesTalkByCertificateAndStrangersAreRefused() throws Exception {
        Path ours = folder.resolve("ours");
        Path foreign = folder.resolve("foreign");
        new CertificateAuthority(Files.createDirectory(ours)).issue(ours, "localhost");
        new CertificateAuthority(Files.createDirectory(foreign)).issue(foreign, "localhost");
        // Strangers trust us, so that it is we who refuse.
        Files.delete(foreign.resolve(MutualTls.TRUST));
        Files.copy(ours.resolve(MutualTls.TRUST), foreign.resolve(MutualTls.TRUST));
        String tls = ours.toString();
        Map<String, String> common = Map.of(
                "penstock.gateway.tls", tls,
                "penstock.scheduler.tls", tls,
                "penstock.shard.tls", tls,
                "penstock.loader.tls", tls);
        try (LocalCluster cluster = Clusters.start(1, 2, common)) {
            JsonNode messages = Client.JSON.readTree("[{\"role\":\"user\",\"content\":\"Hello!\"}]");
            assertThat(new Client(cluster.gateway())
                            .stream(Client.chat(Clusters.MODEL, messages, 8), count -> {})
                                    .tokens())
                    .isNotEmpty();
            int loader = port(cluster.service("weight-loader"));
            int scheduler = port(cluster.service("scheduler"));
            with(loader, Optional.of(ours), SystemTestTls::describe);
            with(scheduler, Optional.of(ours), SystemTestTls::watch);
            for (Optional<Path> stranger : List.of(Optional.of(foreign), Optional.<Path>empty())) {
                assertRefused(loader, stranger, SystemTestTls::describe);
                assertRefused(scheduler, stranger, SystemTestTls::watch);
            }
        }
    }

    private static void describe(Channel channel) {
        var _ = WeightLoaderGrpc.newBlockingStub(channel)
                .withDeadlineAfter(30, TimeUnit.SECONDS)
                .describe(DescribeRequest.newBuilder().setModel(Clusters.MODEL).build());
    }

    private static void watch(Channel channel) {
        var _ = InferenceGrpc.newBlockingStub(channel)
                .withDeadlineAfter(30, TimeUnit.SECONDS)
                .watch(WatchRequest.getDefaultInstance())
                .next();
    }

    private static void assertRefused(int port, Optional<Path> stranger, Consumer<Channel> call) {
        StatusRuntimeException refused =
                catchThrowableOfType(StatusRuntimeException.class, () -> with(port, stranger, call));
        assertThat(refused.getStatus().getCode()).isEqualTo(Status.Code.UNAVAILABLE);
        if (stranger.isPresent()) {
            assertThat(ErrorStatus.fromStatus(refused)).hasMessageContaining("certificate");
        }
    }

    private static void with(int port, Optional<Path> identity, Consumer<Channel> call) {
        ManagedChannel channel = NettyChannelBuilder.forAddress("127.0.0.1", port, MutualTls.dialling(identity))
                .build();
        try {
            call.accept(channel);
        } finally {
            channel.shutdownNow();
        }
    }

    private static int port(ServiceProcess service) throws IOException {
        Matcher line = LISTENS.matcher(Files.readString(service.log()));
        assertThat(line.find()).as(service.log().toString()).isTrue();
        return Integer.parseInt(line.group(1));
    }
}
