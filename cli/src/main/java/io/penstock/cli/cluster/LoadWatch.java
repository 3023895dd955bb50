package io.penstock.cli.cluster;

import io.grpc.ManagedChannel;
import io.grpc.Status;
import io.grpc.StatusRuntimeException;
import io.grpc.netty.NettyChannelBuilder;
import io.grpc.stub.ClientCallStreamObserver;
import io.grpc.stub.ClientResponseObserver;
import io.penstock.api.ErrorStatus;
import io.penstock.api.inference.GroupStatus;
import io.penstock.api.inference.InferenceGrpc;
import io.penstock.api.inference.SchedulerStatus;
import io.penstock.api.inference.WatchRequest;
import io.penstock.api.weights.DescribeRequest;
import io.penstock.api.weights.EnsureEvent;
import io.penstock.api.weights.EnsureRequest;
import io.penstock.api.weights.FileRanges;
import io.penstock.api.weights.ModelFiles;
import io.penstock.api.weights.WeightLoaderGrpc;
import io.penstock.cli.CommandFailure;
import java.util.Iterator;
import java.util.concurrent.TimeUnit;
import java.util.concurrent.atomic.AtomicReference;
import java.util.function.BiConsumer;

/// Follows a cluster's start: bytes into the node's cache, then weights into the shards.
public final class LoadWatch implements AutoCloseable {
    private final ManagedChannel loader;
    private final ManagedChannel scheduler;
    private final AtomicReference<GroupStatus> group = new AtomicReference<>(GroupStatus.getDefaultInstance());
    private final AtomicReference<ClientCallStreamObserver<WatchRequest>> watch = new AtomicReference<>();

    LoadWatch(int loaderPort, int schedulerPort) {
        loader = NettyChannelBuilder.forAddress("127.0.0.1", loaderPort)
                .usePlaintext()
                .build();
        scheduler = NettyChannelBuilder.forAddress("127.0.0.1", schedulerPort)
                .usePlaintext()
                .build();
    }

    private WeightLoaderGrpc.WeightLoaderBlockingStub stub() {
        return WeightLoaderGrpc.newBlockingStub(loader).withWaitForReady();
    }

    /// What the model's files are, by their source. Waits for the weight-loader to be there.
    ///
    /// @throws CommandFailure if the source does not say
    ModelFiles describe(String model) {
        try {
            return stub().withDeadlineAfter(60, TimeUnit.SECONDS)
                    .describe(DescribeRequest.newBuilder().setModel(model).build());
        } catch (StatusRuntimeException e) {
            throw new CommandFailure("the model's source does not say what it has: %s", ErrorStatus.why(e.getStatus()));
        }
    }

    /// Asks the weight-loader for the whole model, as the shards do for their parts of it: the same
    /// download serves all.
    ///
    /// @param onProgress told bytes present and bytes needed
    public void awaitDownload(String model, BiConsumer<Long, Long> onProgress) {
        ModelFiles files = describe(model);
        EnsureRequest.Builder request =
                EnsureRequest.newBuilder().setModel(model).setRevision(files.getRevision());
        files.getFilesList()
                .forEach(file -> request.addFiles(FileRanges.newBuilder().setName(file.getName())));
        for (Iterator<EnsureEvent> events = stub().ensure(request.build()); events.hasNext(); ) {
            EnsureEvent event = events.next();
            if (event.hasProgress()) {
                onProgress.accept(
                        event.getProgress().getBytesPresent(),
                        event.getProgress().getBytesNeeded());
            }
        }
    }

    /// What the scheduler last said of its group; the default instance before that.
    public GroupStatus group() {
        if (watch.get() == null) {
            watch();
        }
        return group.get();
    }

    private void watch() {
        InferenceGrpc.newStub(scheduler)
                .withWaitForReady()
                .watch(WatchRequest.getDefaultInstance(), new ClientResponseObserver<WatchRequest, SchedulerStatus>() {
                    @Override
                    public void beforeStart(ClientCallStreamObserver<WatchRequest> stream) {
                        watch.set(stream);
                    }

                    @Override
                    public void onNext(SchedulerStatus status) {
                        if (status.getGroupsCount() > 0) {
                            group.set(status.getGroups(0));
                        }
                    }

                    @Override
                    public void onError(Throwable failure) {
                        // A scheduler that died is started again; the next question watches the new one.
                        if (Status.fromThrowable(failure).getCode() != Status.Code.CANCELLED) {
                            watch.set(null);
                        }
                    }

                    @Override
                    public void onCompleted() {
                        watch.set(null);
                    }
                });
    }

    @Override
    public void close() {
        loader.shutdownNow();
        scheduler.shutdownNow();
    }
}
