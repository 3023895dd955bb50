package io.penstock.loader.grpc;

import io.grpc.stub.ServerCallStreamObserver;
import io.grpc.stub.StreamObserver;
import io.opentelemetry.context.Context;
import io.penstock.api.ErrorStatus;
import io.penstock.api.weights.CachedModel;
import io.penstock.api.weights.DescribeRequest;
import io.penstock.api.weights.EnsureEvent;
import io.penstock.api.weights.EnsureRequest;
import io.penstock.api.weights.EvictReply;
import io.penstock.api.weights.EvictRequest;
import io.penstock.api.weights.ListReply;
import io.penstock.api.weights.ListRequest;
import io.penstock.api.weights.ModelFile;
import io.penstock.api.weights.ModelFiles;
import io.penstock.api.weights.PinRequest;
import io.penstock.api.weights.PushEvent;
import io.penstock.api.weights.PushRequest;
import io.penstock.api.weights.ReadChunk;
import io.penstock.api.weights.ReadRequest;
import io.penstock.api.weights.VerifyEvent;
import io.penstock.api.weights.VerifyRequest;
import io.penstock.api.weights.WeightLoaderGrpc;
import io.penstock.loader.cache.SnapshotStore;
import io.penstock.loader.catalog.Catalog;
import io.penstock.loader.push.Push;
import io.penstock.loader.source.RemoteFile;
import io.penstock.loader.source.Snapshot;
import io.penstock.loader.transfer.Transfers;
import io.penstock.loader.verify.Checksum;
import io.penstock.model.ErrorCategory;
import io.penstock.model.PenstockException;
import io.quarkus.grpc.GrpcService;
import jakarta.annotation.PreDestroy;
import java.lang.System.Logger;
import java.lang.System.Logger.Level;
import java.util.concurrent.ExecutorService;
import java.util.concurrent.Executors;

/// The service's contract, `weights.proto`. Calls run on virtual threads; what streams does so under flow
/// control.
@GrpcService
public class WeightLoaderEndpoint extends WeightLoaderGrpc.WeightLoaderImplBase {
    private static final Logger LOG = System.getLogger(WeightLoaderEndpoint.class.getName());

    private final Catalog catalog;
    private final SnapshotStore store;
    private final Transfers transfers;
    private final Push push;
    private final ExecutorService executor = Executors.newVirtualThreadPerTaskExecutor();

    WeightLoaderEndpoint(Catalog catalog, SnapshotStore store, Transfers transfers, Push push) {
        this.catalog = catalog;
        this.store = store;
        this.transfers = transfers;
        this.push = push;
    }

    @PreDestroy
    void stop() {
        executor.shutdownNow();
    }

    @Override
    public void describe(DescribeRequest request, StreamObserver<ModelFiles> observer) {
        answer(observer, () -> {
            Snapshot snapshot = catalog.describe(request.getModel(), request.getRevision());
            ModelFiles.Builder files =
                    ModelFiles.newBuilder().setModel(snapshot.model()).setRevision(snapshot.revision());
            for (RemoteFile file : snapshot.files()) {
                files.addFiles(ModelFile.newBuilder()
                        .setName(file.name().value())
                        .setSize(file.size())
                        .setChecksum(
                                file.checksum().map(WeightLoaderEndpoint::text).orElse("")));
            }
            return files.build();
        });
    }

    /// The contract knows no digests of git.
    private static String text(Checksum checksum) {
        return checksum instanceof Checksum.GitBlob ? "" : checksum.text();
    }

    @Override
    public void ensure(EnsureRequest request, StreamObserver<EnsureEvent> observer) {
        EnsureCall call =
                new EnsureCall(request, (ServerCallStreamObserver<EnsureEvent>) observer, catalog, transfers, executor);
        executor.execute(Context.current().wrap(call::begin));
    }

    @Override
    public void read(ReadRequest request, StreamObserver<ReadChunk> observer) {
        ReadCall call = new ReadCall(request, (ServerCallStreamObserver<ReadChunk>) observer, catalog, transfers);
        executor.execute(Context.current().wrap(call::run));
    }

    @Override
    public void list(ListRequest request, StreamObserver<ListReply> observer) {
        answer(observer, () -> {
            ListReply.Builder reply = ListReply.newBuilder();
            catalog.known().forEach(snapshot -> reply.addModels(cached(snapshot)));
            return reply.build();
        });
    }

    private CachedModel cached(Snapshot snapshot) {
        return CachedModel.newBuilder()
                .setModel(snapshot.model())
                .setRevision(snapshot.revision())
                .setBytesPresent(snapshot.files().stream()
                        .mapToLong(transfers::bytesPresent)
                        .sum())
                .setBytesTotal(
                        snapshot.files().stream().mapToLong(RemoteFile::size).sum())
                .setBytesDurable(snapshot.files().stream()
                        .mapToLong(transfers::bytesDurable)
                        .sum())
                .setPinned(store.isPinned(snapshot))
                .setLastUsed(store.lastUsed(snapshot).getEpochSecond())
                .build();
    }

    @Override
    public void pin(PinRequest request, StreamObserver<CachedModel> observer) {
        answer(observer, () -> {
            transfers.requireWritable();
            Snapshot snapshot = catalog.cached(request.getModel(), request.getRevision());
            store.pin(snapshot, request.getPinned());
            return cached(snapshot);
        });
    }

    @Override
    public void evict(EvictRequest request, StreamObserver<EvictReply> observer) {
        answer(
                observer,
                () -> EvictReply.newBuilder()
                        .setBytesFreed(transfers.evict(catalog.cached(request.getModel(), request.getRevision())))
                        .build());
    }

    @Override
    public void verify(VerifyRequest request, StreamObserver<VerifyEvent> observer) {
        VerifyCall call = new VerifyCall(request, (ServerCallStreamObserver<VerifyEvent>) observer, catalog, transfers);
        executor.execute(Context.current().wrap(call::run));
    }

    @Override
    public void push(PushRequest request, StreamObserver<PushEvent> observer) {
        PushCall call = new PushCall(request, (ServerCallStreamObserver<PushEvent>) observer, push);
        executor.execute(Context.current().wrap(call::run));
    }

    @FunctionalInterface
    private interface Answer<T> {
        T make();
    }

    private <T> void answer(StreamObserver<T> observer, Answer<T> answer) {
        executor.execute(Context.current().wrap(() -> {
            T made;
            try {
                made = answer.make();
            } catch (RuntimeException e) {
                observer.onError(ErrorStatus.toStatus(failure(e)));
                return;
            }
            observer.onNext(made);
            observer.onCompleted();
        }));
    }

    /// What the caller hears of a failure; what is not the caller's doing is logged, too.
    static PenstockException failure(RuntimeException e) {
        if (!(e instanceof PenstockException known)) {
            LOG.log(Level.ERROR, "a call has failed", e);
            return new PenstockException(ErrorCategory.INTERNAL, e, "a defect of the weight-loader, see its log");
        }
        switch (known.category()) {
            case CORRUPT, UNAVAILABLE, INTERNAL -> LOG.log(Level.WARNING, known.getMessage(), known);
            case BAD_INPUT, NOT_FOUND, OVERLOADED, DEADLINE -> LOG.log(Level.INFO, known.getMessage());
        }
        return known;
    }
}
