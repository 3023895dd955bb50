package io.penstock.scheduler.grpc;

import io.grpc.stub.ServerCallStreamObserver;
import io.penstock.api.inference.GenerateEvent;
import java.util.ArrayList;
import java.util.List;
import java.util.concurrent.CountDownLatch;

/// The transport's side of a `Generate` call, ready when the test says so.
final class RecordingObserver extends ServerCallStreamObserver<GenerateEvent> {
    final List<GenerateEvent> events = new ArrayList<>();
    final CountDownLatch firstEvent = new CountDownLatch(1);
    final CountDownLatch closed = new CountDownLatch(1);
    volatile Throwable failure;
    volatile boolean completed;
    private volatile boolean ready = true;
    private Runnable onReady = () -> {};

    void ready(boolean now) {
        ready = now;
        if (now) {
            onReady.run();
        }
    }

    @Override
    public void onNext(GenerateEvent event) {
        if (closed.getCount() == 0) {
            throw new IllegalStateException("call is closed");
        }
        events.add(event);
        firstEvent.countDown();
    }

    @Override
    public void onError(Throwable why) {
        failure = why;
        closed.countDown();
    }

    @Override
    public void onCompleted() {
        completed = true;
        closed.countDown();
    }

    @Override
    public boolean isReady() {
        return ready;
    }

    @Override
    public void setOnReadyHandler(Runnable handler) {
        onReady = handler;
    }

    @Override
    public boolean isCancelled() {
        return false;
    }

    @Override
    public void setOnCancelHandler(Runnable handler) {}

    @Override
    public void setCompression(String compression) {}

    @Override
    public void disableAutoInboundFlowControl() {}

    @Override
    public void request(int count) {}

    @Override
    public void setMessageCompression(boolean enable) {}
}
