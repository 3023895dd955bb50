package io.penstock.api;

import io.grpc.ChannelCredentials;
import io.grpc.InsecureChannelCredentials;
import io.grpc.TlsChannelCredentials;
import io.grpc.netty.GrpcSslContexts;
import io.grpc.netty.NettyServerBuilder;
import io.grpc.util.AdvancedTlsX509KeyManager;
import io.grpc.util.AdvancedTlsX509TrustManager;
import io.netty.handler.ssl.ClientAuth;
import io.netty.handler.ssl.SslContext;
import io.netty.handler.ssl.SslContextBuilder;
import io.penstock.model.ErrorCategory;
import io.penstock.model.PenstockException;
import java.io.IOException;
import java.nio.file.Files;
import java.nio.file.NoSuchFileException;
import java.nio.file.Path;
import java.nio.file.attribute.FileTime;
import java.security.GeneralSecurityException;
import java.time.Duration;
import java.util.ArrayList;
import java.util.List;
import java.util.Optional;
import java.util.concurrent.Executors;
import java.util.concurrent.ScheduledExecutorService;
import java.util.concurrent.TimeUnit;
import javax.net.ssl.SSLException;

/// How services make sure of each other: each shows a certificate and accepts only peers whose certificate is signed by
/// an authority that it trusts. Callers also compare the server's certificate with the name that they dialled.
///
/// The three files are read again when they change, for the life of the process; connections that stand are left alone.
/// While what is there cannot be read, what was read before is used, and a warning is logged.
public final class MutualTls {
    public static final String CERTIFICATE = "tls.crt";
    public static final String KEY = "tls.key";
    public static final String TRUST = "ca.crt";

    private static final System.Logger LOG = System.getLogger(MutualTls.class.getName());
    private static final Duration RELOAD = Duration.ofMinutes(1);

    private final AdvancedTlsX509KeyManager identity = new AdvancedTlsX509KeyManager();
    private final AdvancedTlsX509TrustManager trust;
    private final Path folder;
    private List<FileTime> taken;
    // Says a lasting failure once, not each time.
    private String lastFailure = "";

    private MutualTls(Path folder) throws GeneralSecurityException, IOException {
        trust = AdvancedTlsX509TrustManager.newBuilder().build();
        this.folder = folder;
        taken = times();
        take();
    }

    /// Not by what gRPC has for it: that waits for key *and* certificate to change, and for a minute at least.
    private static final class Reloading {
        static final ScheduledExecutorService THREAD = Executors.newSingleThreadScheduledExecutor(
                Thread.ofPlatform().daemon().name("tls-reload").factory());
    }

    private List<FileTime> times() throws IOException {
        List<FileTime> times = new ArrayList<>();
        for (String name : List.of(CERTIFICATE, KEY, TRUST)) {
            try {
                times.add(Files.getLastModifiedTime(folder.resolve(name)));
            } catch (NoSuchFileException e) {
                throw new NoSuchFileException(name, null, "is missing");
            }
        }
        return times;
    }

    private void take() throws GeneralSecurityException, IOException {
        identity.updateIdentityCredentials(
                folder.resolve(CERTIFICATE).toFile(), folder.resolve(KEY).toFile());
        trust.updateTrustCredentials(folder.resolve(TRUST).toFile());
    }

    private void takeIfChanged() {
        try {
            // First, so that what is written meanwhile is read next time.
            List<FileTime> now = times();
            if (!now.equals(taken)) {
                take();
                taken = now;
                lastFailure = "";
                LOG.log(System.Logger.Level.INFO, "certificates in {0} were renewed", folder);
            }
        } catch (GeneralSecurityException | IOException | RuntimeException e) {
            String failure = String.valueOf(e.getMessage());
            if (!failure.equals(lastFailure)) {
                lastFailure = failure;
                LOG.log(System.Logger.Level.WARNING, "certificates in {0} are not used: {1}", folder, failure);
            }
        }
    }

    /// @param folder with `tls.crt` (this service's certificate and those between it and its authority), `tls.key` (its
    ///     key, PKCS #8) and `ca.crt` (authorities), all PEM: what a Kubernetes secret of type TLS holds
    /// @throws PenstockException (bad input) if one of them is missing or is not what it must be
    public static MutualTls read(Path folder) {
        return read(folder, RELOAD);
    }

    /// @param reload how often the files are looked at
    static MutualTls read(Path folder, Duration reload) {
        try {
            MutualTls tls = new MutualTls(folder);
            // It ends with the process.
            var _ = Reloading.THREAD.scheduleWithFixedDelay(
                    tls::takeIfChanged, reload.toMillis(), reload.toMillis(), TimeUnit.MILLISECONDS);
            return tls;
        } catch (GeneralSecurityException | IOException | IllegalArgumentException e) {
            throw new PenstockException(
                    ErrorCategory.BAD_INPUT, e, "no TLS by the files in %s: %s", folder, e.getMessage());
        }
    }

    /// What to dial other services with.
    ///
    /// @param folder see [#read(Path)]; empty: in the clear
    public static ChannelCredentials dialling(Optional<Path> folder) {
        return folder.<ChannelCredentials>map(path -> read(path).client())
                .orElseGet(InsecureChannelCredentials::create);
    }

    /// Has a server take callers by certificate only.
    ///
    /// @param folder see [#read(Path)]; empty: whoever calls, in the clear
    public static void require(Optional<Path> folder, NettyServerBuilder server) {
        folder.ifPresent(path -> {
            server.sslContext(read(path).server());
            LOG.log(System.Logger.Level.INFO, "gRPC takes callers by certificate only, as {0} has them", path);
        });
    }

    public ChannelCredentials client() {
        return TlsChannelCredentials.newBuilder()
                .keyManager(identity)
                .trustManager(trust)
                .build();
    }

    /// For a server that refuses callers without a certificate, or with a foreign one, in the handshake.
    public SslContext server() {
        try {
            return GrpcSslContexts.configure(SslContextBuilder.forServer(identity)
                            .trustManager(trust)
                            .clientAuth(ClientAuth.REQUIRE))
                    .build();
        } catch (SSLException e) {
            throw new PenstockException(ErrorCategory.INTERNAL, e, "this JVM has no TLS that fits: %s", e.getMessage());
        }
    }
}
