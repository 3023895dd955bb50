package io.penstock.api;

import static org.assertj.core.api.Assertions.assertThat;
import static org.assertj.core.api.Assertions.assertThatThrownBy;
import static org.assertj.core.api.Assertions.catchThrowableOfType;

import io.grpc.ChannelCredentials;
import io.grpc.InsecureChannelCredentials;
import io.grpc.ManagedChannel;
import io.grpc.Server;
import io.grpc.Status;
import io.grpc.StatusRuntimeException;
import io.grpc.TlsChannelCredentials;
import io.grpc.health.v1.HealthCheckRequest;
import io.grpc.health.v1.HealthCheckResponse.ServingStatus;
import io.grpc.health.v1.HealthGrpc;
import io.grpc.netty.NettyChannelBuilder;
import io.grpc.netty.NettyServerBuilder;
import io.grpc.protobuf.services.HealthStatusManager;
import io.penstock.model.ErrorCategory;
import io.penstock.model.PenstockException;
import java.io.IOException;
import java.nio.file.Files;
import java.nio.file.Path;
import java.nio.file.StandardCopyOption;
import java.time.Duration;
import java.util.List;
import java.util.Optional;
import java.util.concurrent.TimeUnit;
import org.junit.jupiter.api.AfterAll;
import org.junit.jupiter.api.BeforeAll;
import org.junit.jupiter.api.Test;
import org.junit.jupiter.api.io.TempDir;

/// Who is let in, who is not, and what each is told.
final class TestMutualTls {
    private static final Duration OFTEN = Duration.ofMillis(20);

    @TempDir
    static Path folder;

    private static Server server;

    @BeforeAll
    static void start() throws Exception {
        CertificateAuthority ours = new CertificateAuthority(Files.createDirectory(folder.resolve("ours")));
        CertificateAuthority theirs = new CertificateAuthority(Files.createDirectory(folder.resolve("theirs")));
        ours.issue(folder.resolve("server"), "localhost");
        ours.issue(folder.resolve("caller"), "caller");
        theirs.issue(folder.resolve("foreign"), "localhost");
        server = serve(MutualTls.read(folder.resolve("server")));
    }

    @AfterAll
    static void stop() {
        server.shutdownNow();
    }

    private static Path copy(String from, String to) throws IOException {
        Path target = Files.createDirectories(folder.resolve(to));
        for (String name : List.of(MutualTls.CERTIFICATE, MutualTls.KEY, MutualTls.TRUST)) {
            Files.copy(folder.resolve(from).resolve(name), target.resolve(name), StandardCopyOption.REPLACE_EXISTING);
        }
        return target;
    }

    private static Server serve(MutualTls tls) throws IOException {
        return NettyServerBuilder.forPort(0)
                .sslContext(tls.server())
                .addService(new HealthStatusManager().getHealthService())
                .build()
                .start();
    }

    private static ServingStatus call(Server server, String host, ChannelCredentials credentials) {
        ManagedChannel channel = NettyChannelBuilder.forAddress("localhost", server.getPort(), credentials)
                .overrideAuthority(host)
                .build();
        try {
            return HealthGrpc.newBlockingStub(channel)
                    .withDeadlineAfter(20, TimeUnit.SECONDS)
                    .check(HealthCheckRequest.getDefaultInstance())
                    .getStatus();
        } finally {
            channel.shutdownNow();
        }
    }

    private static String refusal(Server server, String host, ChannelCredentials credentials) {
        StatusRuntimeException refused =
                catchThrowableOfType(StatusRuntimeException.class, () -> call(server, host, credentials));
        assertThat(refused.getStatus().getCode()).isEqualTo(Status.Code.UNAVAILABLE);
        return ErrorStatus.fromStatus(refused).getMessage();
    }

    private static ChannelCredentials dialling(String name) {
        return MutualTls.dialling(Optional.of(folder.resolve(name)));
    }

    @Test
    void whoHasOurCertificateIsServed() {
        assertThat(call(server, "localhost", dialling("caller"))).isEqualTo(ServingStatus.SERVING);
    }

    @Test
    void whoHasNoneIsRefused() throws Exception {
        ChannelCredentials none = TlsChannelCredentials.newBuilder()
                .trustManager(folder.resolve("caller").resolve(MutualTls.TRUST).toFile())
                .build();
        assertThat(refusal(server, "localhost", none)).containsIgnoringCase("certificate");
        assertThat(refusal(server, "localhost", InsecureChannelCredentials.create()))
                .isNotBlank();
    }

    @Test
    void whoHasAForeignOneIsRefused() throws Exception {
        // It trusts us; we do not trust it.
        copy("foreign", "foreign-caller");
        Files.copy(
                folder.resolve("server").resolve(MutualTls.TRUST),
                folder.resolve("foreign-caller").resolve(MutualTls.TRUST),
                StandardCopyOption.REPLACE_EXISTING);
        assertThat(refusal(server, "localhost", dialling("foreign-caller"))).containsIgnoringCase("certificate");
    }

    @Test
    void aServerThatIsNotOursIsNotTalkedTo() throws Exception {
        Server foreign = serve(MutualTls.read(folder.resolve("foreign")));
        try {
            assertThat(refusal(foreign, "localhost", dialling("caller"))).contains("PKIX path");
        } finally {
            foreign.shutdownNow();
        }
        assertThat(refusal(server, "elsewhere", dialling("caller"))).contains("elsewhere");
    }

    @Test
    void renewedFilesAreTakenWithoutARestart() throws Exception {
        Path renewed = copy("server", "renewed");
        Server renewing = serve(MutualTls.read(renewed, OFTEN));
        try {
            assertThat(call(renewing, "localhost", dialling("caller"))).isEqualTo(ServingStatus.SERVING);
            copy("foreign", "renewed");
            // Times of files may be as coarse as a second.
            assertThat(renewed.resolve(MutualTls.TRUST).toFile().setLastModified(System.currentTimeMillis() + 5_000))
                    .isTrue();
            ChannelCredentials trusting = dialling("foreign");
            long deadline = System.nanoTime() + Duration.ofSeconds(20).toNanos();
            ServingStatus status = ServingStatus.UNKNOWN;
            while (status != ServingStatus.SERVING) {
                try {
                    status = call(renewing, "localhost", trusting);
                } catch (StatusRuntimeException notYet) {
                    assertThat(System.nanoTime()).as(notYet.toString()).isLessThan(deadline);
                }
            }
            assertThat(refusal(renewing, "localhost", dialling("caller"))).isNotBlank();
        } finally {
            renewing.shutdownNow();
        }
    }

    @Test
    void filesThatAreMissingOrBrokenAreNamed() throws Exception {
        Path broken = folder.resolve("broken");
        assertThatThrownBy(() -> MutualTls.read(broken))
                .isInstanceOfSatisfying(
                        PenstockException.class, e -> assertThat(e.category()).isEqualTo(ErrorCategory.BAD_INPUT))
                .hasMessageContaining(broken.toString())
                .hasMessageContaining(MutualTls.CERTIFICATE);
        copy("server", "broken");
        Files.writeString(broken.resolve(MutualTls.KEY), "no key");
        assertThatThrownBy(() -> MutualTls.read(broken))
                .isInstanceOf(PenstockException.class)
                .hasMessageContaining(broken.toString());
    }
}
