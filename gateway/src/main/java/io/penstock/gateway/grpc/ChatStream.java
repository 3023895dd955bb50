package io.penstock.gateway.grpc;

import io.grpc.stub.ServerCallStreamObserver;
import io.penstock.api.chat.ChatEvent;
import io.penstock.gateway.chat.Completion;
import java.time.Duration;
import java.util.concurrent.CancellationException;
import java.util.concurrent.locks.Condition;
import java.util.concurrent.locks.ReentrantLock;

/// The sending side of one Chat call, written by one thread, no faster than its client reads.
final class ChatStream {
    private final ServerCallStreamObserver<ChatEvent> response;
    private final long stallNanos;

    /// Guards the condition: room to write, or nobody to write for.
    private final ReentrantLock lock = new ReentrantLock();

    private final Condition changed = lock.newCondition();
    private volatile Completion source;
    private volatile boolean cancelled;

    /// Called within the call's method, where alone handlers may be set.
    ChatStream(ServerCallStreamObserver<ChatEvent> response, Duration stallTimeout) {
        this.response = response;
        this.stallNanos = stallTimeout.toNanos();
        response.setOnReadyHandler(this::wake);
        response.setOnCancelHandler(this::cancel);
    }

    /// @param completion cancelled with the call
    void feeds(Completion completion) {
        source = completion;
        if (cancelled) {
            completion.cancel();
        }
    }

    /// @throws CancellationException if the client is gone, or has not read for too long
    void send(ChatEvent event) throws InterruptedException {
        lock.lock();
        try {
            long left = stallNanos;
            while (!cancelled && !response.isReady()) {
                if (left <= 0) {
                    throw new CancellationException("the client does not read");
                }
                left = changed.awaitNanos(left);
            }
        } finally {
            lock.unlock();
        }
        if (cancelled) {
            throw new CancellationException("the client is gone");
        }
        response.onNext(event);
    }

    void complete() {
        if (!cancelled) {
            response.onCompleted();
        }
    }

    void fail(RuntimeException status) {
        if (!cancelled) {
            response.onError(status);
        }
    }

    private void cancel() {
        cancelled = true;
        wake();
        Completion running = source;
        if (running != null) {
            running.cancel();
        }
    }

    private void wake() {
        lock.lock();
        try {
            changed.signalAll();
        } finally {
            lock.unlock();
        }
    }
}
