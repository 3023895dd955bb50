package io.penstock.cli.weights;

import com.google.errorprone.annotations.FormatMethod;
import com.google.errorprone.annotations.FormatString;
import io.grpc.ManagedChannel;
import io.grpc.StatusRuntimeException;
import io.grpc.netty.NettyChannelBuilder;
import io.penstock.api.ErrorStatus;
import io.penstock.api.MutualTls;
import io.penstock.api.weights.CachedModel;
import io.penstock.api.weights.DescribeRequest;
import io.penstock.api.weights.EnsureEvent;
import io.penstock.api.weights.EnsureRequest;
import io.penstock.api.weights.EvictRequest;
import io.penstock.api.weights.FileRanges;
import io.penstock.api.weights.ListRequest;
import io.penstock.api.weights.ModelFiles;
import io.penstock.api.weights.PinRequest;
import io.penstock.api.weights.PushEvent;
import io.penstock.api.weights.PushRequest;
import io.penstock.api.weights.PushResult;
import io.penstock.api.weights.TierProgress;
import io.penstock.api.weights.TierResult;
import io.penstock.api.weights.VerifyEvent;
import io.penstock.api.weights.VerifyRequest;
import io.penstock.api.weights.WeightLoaderGrpc;
import io.penstock.cli.CommandFailure;
import java.io.PrintWriter;
import java.nio.file.Path;
import java.time.Instant;
import java.util.Iterator;
import java.util.List;
import java.util.Locale;
import java.util.Optional;
import java.util.concurrent.TimeUnit;
import java.util.function.ToIntFunction;
import java.util.stream.Collectors;
import picocli.CommandLine.Command;
import picocli.CommandLine.HelpCommand;
import picocli.CommandLine.Model.CommandSpec;
import picocli.CommandLine.Option;
import picocli.CommandLine.Parameters;
import picocli.CommandLine.ScopeType;
import picocli.CommandLine.Spec;

/// `./penstock weights`: a node's cache of weights, through its weight-loader.
@Command(
        name = "weights",
        description =
                "Lists, fetches, pins, verifies and evicts what a node's weight-loader holds; pushes to a bucket.",
        mixinStandardHelpOptions = true,
        subcommands = HelpCommand.class)
public final class Weights {
    private static final long SHORT_SECONDS = 60;

    @Option(
            names = "--loader",
            paramLabel = "HOST:PORT",
            defaultValue = "localhost:9083",
            scope = ScopeType.INHERIT,
            description = "The weight-loader (default: ${DEFAULT-VALUE}).")
    private String loader;

    @Option(
            names = "--tls",
            paramLabel = "FOLDER",
            scope = ScopeType.INHERIT,
            description = "Folder with tls.crt, tls.key and ca.crt, where the weight-loader asks for certificates.")
    private Path tls;

    @Spec
    private CommandSpec spec;

    @Command(name = "list", description = "What the cache holds.")
    int list() {
        return call(stub -> {
            List<CachedModel> models = stub.withDeadlineAfter(SHORT_SECONDS, TimeUnit.SECONDS)
                    .list(ListRequest.getDefaultInstance())
                    .getModelsList();
            PrintWriter out = spec.commandLine().getOut();
            out.printf(
                    Locale.ROOT,
                    "%-32s %-40s %18s %8s %6s  %s%n",
                    "MODEL",
                    "REVISION",
                    "MB",
                    "DURABLE",
                    "PINNED",
                    "LAST USED");
            for (CachedModel model : models) {
                out.printf(
                        Locale.ROOT,
                        "%-32s %-40s %18s %8d %6s  %s%n",
                        model.getModel(),
                        model.getRevision(),
                        megabytes(model.getBytesPresent()) + " of " + megabytes(model.getBytesTotal()),
                        megabytes(model.getBytesDurable()),
                        model.getPinned() ? "yes" : "",
                        model.getLastUsed() == 0 ? "never" : Instant.ofEpochSecond(model.getLastUsed()));
            }
            out.flush();
            return 0;
        });
    }

    @Command(name = "fetch", description = "Makes a model present on the node.")
    int fetch(
            @Parameters(paramLabel = "MODEL") String model,
            @Option(names = "--revision", defaultValue = "", description = "Default: the newest.") String revision) {
        return call(stub -> {
            ModelFiles files = stub.withDeadlineAfter(SHORT_SECONDS, TimeUnit.SECONDS)
                    .describe(DescribeRequest.newBuilder()
                            .setModel(model)
                            .setRevision(revision)
                            .build());
            EnsureRequest.Builder request =
                    EnsureRequest.newBuilder().setModel(model).setRevision(files.getRevision());
            files.getFilesList()
                    .forEach(file -> request.addFiles(FileRanges.newBuilder().setName(file.getName())));
            List<TierProgress> tiers = List.of();
            try (Progress progress = new Progress("Fetch")) {
                for (Iterator<EnsureEvent> events = stub.ensure(request.build()); events.hasNext(); ) {
                    EnsureEvent event = events.next();
                    if (event.hasProgress()) {
                        tiers = event.getProgress().getTiersList();
                        progress.show(tiers);
                    } else if (event.hasComplete()) {
                        progress.end();
                        say("%s@%s, %s", model, files.getRevision(), told(tiers));
                    }
                }
            }
            return 0;
        });
    }

    /// Where bytes came from, as `fast 0 MB, oci 70 MB`.
    private static String told(List<TierProgress> tiers) {
        return tiers.stream()
                .map(tier -> tier.getTier() + " " + megabytes(tier.getBytesDone()) + " MB")
                .collect(Collectors.joining(", "));
    }

    @Command(name = "pin", description = "Keeps a revision from being evicted.")
    int pin(
            @Parameters(paramLabel = "MODEL") String model,
            @Parameters(paramLabel = "REVISION") String revision,
            @Option(names = "--off", description = "Lets it go again.") boolean off) {
        return call(stub -> {
            CachedModel now = stub.withDeadlineAfter(SHORT_SECONDS, TimeUnit.SECONDS)
                    .pin(PinRequest.newBuilder()
                            .setModel(model)
                            .setRevision(revision)
                            .setPinned(!off)
                            .build());
            say("%s@%s is %s", model, revision, now.getPinned() ? "pinned" : "not pinned");
            return 0;
        });
    }

    @Command(name = "evict", description = "Removes a revision from the cache.")
    int evict(@Parameters(paramLabel = "MODEL") String model, @Parameters(paramLabel = "REVISION") String revision) {
        return call(stub -> {
            long freed = stub.evict(EvictRequest.newBuilder()
                            .setModel(model)
                            .setRevision(revision)
                            .build())
                    .getBytesFreed();
            say("%d MB are free again", megabytes(freed));
            return 0;
        });
    }

    @Command(name = "verify", description = "Reads a revision again; exit code 1 when bytes were wrong.")
    int verify(
            @Parameters(paramLabel = "MODEL") String model,
            @Parameters(paramLabel = "REVISION") String revision,
            @Option(names = "--repair", description = "Fetches again what is wrong.") boolean repair) {
        return call(stub -> {
            int exit = 0;
            try (Progress progress = new Progress("Verify")) {
                Iterator<VerifyEvent> events = stub.verify(VerifyRequest.newBuilder()
                        .setModel(model)
                        .setRevision(revision)
                        .setRepair(repair)
                        .build());
                while (events.hasNext()) {
                    VerifyEvent event = events.next();
                    switch (event.getEventCase()) {
                        case PROGRESS -> progress.show(event.getProgress().getTiersList());
                        case DAMAGED -> {
                            exit = 1;
                            say(
                                    "%s, %s tier: %d bytes were wrong",
                                    event.getDamaged().getName(),
                                    event.getDamaged().getTier(),
                                    event.getDamaged().getBytesWrong());
                        }
                        case RESULT -> {
                            progress.end();
                            for (TierResult tier : event.getResult().getTiersList()) {
                                say(
                                        "%s tier: %d MB read, %d bytes were wrong, %d are right again",
                                        tier.getTier(),
                                        megabytes(tier.getBytesRead()),
                                        tier.getBytesWrong(),
                                        tier.getBytesRepaired());
                            }
                        }
                        case EVENT_NOT_SET -> {}
                    }
                }
            }
            return exit;
        });
    }

    @Command(name = "push", description = "Copies a folder of the loader's node into a bucket, as one revision.")
    int push(
            @Parameters(paramLabel = "FOLDER", description = "On the loader's node.") Path folder,
            @Parameters(
                            paramLabel = "TARGET",
                            description = "oci://<namespace>/<bucket>/<prefix> or s3://<bucket>/<prefix>")
                    String target,
            @Option(names = "--abandon", description = "Removes what pushes to there have begun and not ended.")
                    boolean abandon) {
        return call(stub -> {
            PushRequest request = PushRequest.newBuilder()
                    .setFolder(folder.toAbsolutePath().normalize().toString())
                    .setTarget(target)
                    .setAbandon(abandon)
                    .build();
            try (Progress progress = new Progress("Push")) {
                for (Iterator<PushEvent> events = stub.push(request); events.hasNext(); ) {
                    PushEvent event = events.next();
                    if (event.hasProgress()) {
                        progress.show(
                                event.getProgress().getBytesDone(),
                                event.getProgress().getBytesTotal());
                    } else if (event.hasResult()) {
                        progress.end();
                        tell(target, abandon, event.getResult());
                    }
                }
            }
            return 0;
        });
    }

    private void tell(String target, boolean abandon, PushResult result) {
        if (abandon) {
            say("%d unfinished uploads removed", result.getUploadsRemoved());
        } else {
            say(
                    "%s is revision %s: %d files, %d MB sent, %d MB were there",
                    target,
                    result.getRevision(),
                    result.getFiles(),
                    megabytes(result.getBytesSent()),
                    megabytes(result.getBytesThere()));
        }
    }

    private int call(ToIntFunction<WeightLoaderGrpc.WeightLoaderBlockingStub> body) {
        ManagedChannel channel = NettyChannelBuilder.forTarget(loader, MutualTls.dialling(Optional.ofNullable(tls)))
                .build();
        try {
            return body.applyAsInt(WeightLoaderGrpc.newBlockingStub(channel));
        } catch (StatusRuntimeException e) {
            throw new CommandFailure("%s: %s", loader, ErrorStatus.fromStatus(e).getMessage());
        } finally {
            channel.shutdownNow();
        }
    }

    @FormatMethod
    private void say(@FormatString String format, Object... arguments) {
        PrintWriter out = spec.commandLine().getOut();
        out.println(String.format(Locale.ROOT, format, arguments));
        out.flush();
    }

    private static long megabytes(long bytes) {
        return bytes / 1_000_000;
    }
}
