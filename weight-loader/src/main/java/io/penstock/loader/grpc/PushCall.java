package io.penstock.loader.grpc;

import io.grpc.stub.ServerCallStreamObserver;
import io.penstock.api.ErrorStatus;
import io.penstock.api.weights.PushEvent;
import io.penstock.api.weights.PushProgress;
import io.penstock.api.weights.PushRequest;
import io.penstock.api.weights.PushResult;
import io.penstock.loader.catalog.SourceAddress;
import io.penstock.loader.push.Push;
import io.penstock.model.ErrorCategory;
import io.penstock.model.PenstockException;
import java.nio.file.InvalidPathException;
import java.nio.file.Path;

/// One `Push`. A caller that leaves stops it, and can go on with it by another call.
final class PushCall {
    private final PushRequest request;
    private final ServerCallStreamObserver<PushEvent> observer;
    private final Push push;
    /// Guards the observer, and the fields below.
    private final Object lock = new Object();

    private Thread runner;
    private boolean cancelled;
    private long told = -1;

    PushCall(PushRequest request, ServerCallStreamObserver<PushEvent> observer, Push push) {
        this.request = request;
        this.observer = observer;
        this.push = push;
        observer.setOnCancelHandler(this::cancel);
    }

    private void cancel() {
        synchronized (lock) {
            cancelled = true;
            if (runner != null) {
                runner.interrupt();
            }
        }
    }

    void run() {
        synchronized (lock) {
            if (cancelled) {
                return;
            }
            runner = Thread.currentThread();
        }
        try {
            PushResult result = result();
            synchronized (lock) {
                runner = null;
                if (!cancelled) {
                    observer.onNext(PushEvent.newBuilder().setResult(result).build());
                    observer.onCompleted();
                }
            }
        } catch (RuntimeException e) {
            PenstockException failure = WeightLoaderEndpoint.failure(e);
            synchronized (lock) {
                runner = null;
                if (!cancelled) {
                    observer.onError(ErrorStatus.toStatus(failure));
                }
            }
        }
    }

    private PushResult result() {
        SourceAddress target = SourceAddress.parse("push", request.getTarget());
        if (request.getAbandon()) {
            return PushResult.newBuilder()
                    .setUploadsRemoved(push.abandon(target))
                    .build();
        }
        Push.Result result = push.run(folder(), target, this::progress);
        return PushResult.newBuilder()
                .setRevision(result.revision())
                .setFiles(result.files())
                .setBytesSent(result.sent())
                .setBytesThere(result.there())
                .build();
    }

    private Path folder() {
        try {
            Path folder = Path.of(request.getFolder());
            if (folder.isAbsolute()) {
                return folder;
            }
        } catch (InvalidPathException e) {
            throw new PenstockException(ErrorCategory.BAD_INPUT, e, "the folder is no path: %s", e.getMessage());
        }
        throw new PenstockException(
                ErrorCategory.BAD_INPUT, "the folder '%s' is no absolute path", request.getFolder());
    }

    private void progress(long done, long total) {
        synchronized (lock) {
            // From many threads, so not in order. A caller that does not keep up misses some.
            if (done > told && !cancelled && observer.isReady()) {
                told = done;
                observer.onNext(PushEvent.newBuilder()
                        .setProgress(
                                PushProgress.newBuilder().setBytesDone(done).setBytesTotal(total))
                        .build());
            }
        }
    }
}
