package io.penstock.gateway.openai;

import io.vertx.core.Context;
import io.vertx.core.Vertx;
import io.vertx.ext.web.RoutingContext;
import java.util.ArrayList;
import java.util.List;
import java.util.concurrent.locks.ReentrantLock;

/// Whoever waits for an answer: whether they are still there. Quarkus REST tells a resource nothing of that, so it is
/// taken from the connection, on its event loop, before the resource is called.
final class Reader {
    private static final String KEY = Reader.class.getName();

    private final Context loop;

    /// Guards the two below.
    private final ReentrantLock lock = new ReentrantLock();

    private final List<Runnable> actions = new ArrayList<>();
    private boolean over;

    private volatile boolean gone;

    private Reader(Context loop) {
        this.loop = loop;
    }

    /// Called on the event loop of the request.
    static Reader watch(RoutingContext http) {
        Reader reader = new Reader(Vertx.currentContext());
        http.put(KEY, reader);
        http.addEndHandler(end -> reader.end(end.failed()));
        return reader;
    }

    static Reader of(RoutingContext http) {
        return http.get(KEY);
    }

    /// The event loop of the request: what is done to the request is done there.
    Context loop() {
        return loop;
    }

    /// The connection is closed, or its stream reset: nobody waits for the answer.
    boolean isGone() {
        return gone;
    }

    /// @param action run once, when the answer has been sent or the reader is gone; at once if that has been
    void onceOver(Runnable action) {
        lock.lock();
        try {
            if (!over) {
                actions.add(action);
                return;
            }
        } finally {
            lock.unlock();
        }
        action.run();
    }

    private void end(boolean early) {
        List<Runnable> all;
        lock.lock();
        try {
            gone = early;
            over = true;
            all = List.copyOf(actions);
        } finally {
            lock.unlock();
        }
        all.forEach(Runnable::run);
    }
}
