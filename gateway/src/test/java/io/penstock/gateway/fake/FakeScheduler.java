package io.penstock.gateway.fake;

import io.grpc.Server;
import io.grpc.netty.NettyServerBuilder;
import io.grpc.stub.ServerCallStreamObserver;
import io.grpc.stub.StreamObserver;
import io.penstock.api.inference.GenerateEvent;
import io.penstock.api.inference.GenerateRequest;
import io.penstock.api.inference.GroupState;
import io.penstock.api.inference.GroupStatus;
import io.penstock.api.inference.InferenceGrpc;
import io.penstock.api.inference.SchedulerStatus;
import io.penstock.api.inference.WatchRequest;
import java.io.IOException;
import java.io.UncheckedIOException;
import java.util.List;
import java.util.concurrent.BlockingQueue;
import java.util.concurrent.CopyOnWriteArrayList;
import java.util.concurrent.LinkedBlockingQueue;
import java.util.concurrent.TimeUnit;

/// A scheduler on a port of this machine whose models say what a script has.
public final class FakeScheduler {
    public static final String MODEL = "tiny";
    public static final String REVISION = "0123456789abcdef";
    public static final int CONTEXT = 4_096;

    /// A model with room for streams that do not end while a test lasts.
    public static final String WIDE_MODEL = "wide";

    public static final int WIDE_CONTEXT = 1 << 24;

    private final int port;
    private final BlockingQueue<FakeCall> calls = new LinkedBlockingQueue<>();
    private final List<StreamObserver<SchedulerStatus>> watchers = new CopyOnWriteArrayList<>();
    private volatile Played played = new Played(Script.saying(""));
    private volatile int cachedTokens;
    private volatile GroupState state = GroupState.GROUP_STATE_SERVING;
    private volatile String refusal = "";
    private Server server;

    public FakeScheduler(int port) {
        this.port = port;
    }

    public synchronized void start() {
        if (server != null) {
            return;
        }
        try {
            server = NettyServerBuilder.forPort(port)
                    .addService(new Service())
                    .permitKeepAliveTime(1, TimeUnit.SECONDS)
                    .build()
                    .start();
        } catch (IOException e) {
            throw new UncheckedIOException(e);
        }
    }

    public synchronized boolean dead() {
        return server == null;
    }

    /// As a process dies: connections break, nothing is said.
    public synchronized void kill() {
        if (server != null) {
            server.shutdownNow();
            watchers.clear();
            try {
                server.awaitTermination();
            } catch (InterruptedException e) {
                Thread.currentThread().interrupt();
            }
            server = null;
        }
    }

    /// From now on; incidents may happen again.
    public void plays(Script next) {
        played = new Played(next);
        calls.clear();
    }

    public void caches(int tokens) {
        cachedTokens = tokens;
    }

    public void is(GroupState next) {
        is(next, "");
    }

    /// Of all its groups.
    public void refuses(String why) {
        is(GroupState.GROUP_STATE_REFUSED, why);
    }

    private void is(GroupState next, String why) {
        refusal = why;
        state = next;
        watchers.forEach(watcher -> watcher.onNext(status()));
    }

    public FakeCall nextCall() throws InterruptedException {
        FakeCall call = calls.poll(10, TimeUnit.SECONDS);
        if (call == null) {
            throw new AssertionError("no call came to " + port);
        }
        return call;
    }

    /// @return null: none came meanwhile
    public FakeCall callSoFar() {
        return calls.poll();
    }

    int cachedTokens() {
        return cachedTokens;
    }

    private SchedulerStatus status() {
        SchedulerStatus.Builder status = SchedulerStatus.newBuilder();
        for (String model : List.of(MODEL, WIDE_MODEL, TinyText.NO_CHAT, TinyText.THINKER, TinyText.TEXTLESS)) {
            status.addGroups(GroupStatus.newBuilder()
                    .setGroup(model)
                    .setModel(model)
                    .setRevision(REVISION)
                    .setState(state)
                    .setRefusal(refusal)
                    .setContextLength(model.equals(WIDE_MODEL) ? WIDE_CONTEXT : CONTEXT)
                    .setVocabularySize(new TinyTokenizer().vocabularySize()));
        }
        return status.build();
    }

    private final class Service extends InferenceGrpc.InferenceImplBase {
        @Override
        public void generate(GenerateRequest request, StreamObserver<GenerateEvent> response) {
            FakeCall call = new FakeCall(
                    request, played, FakeScheduler.this, (ServerCallStreamObserver<GenerateEvent>) response);
            calls.add(call);
            Thread.ofVirtual().start(call::run);
        }

        @Override
        public void watch(WatchRequest request, StreamObserver<SchedulerStatus> response) {
            ((ServerCallStreamObserver<SchedulerStatus>) response).setOnCancelHandler(() -> watchers.remove(response));
            watchers.add(response);
            response.onNext(status());
        }
    }
}
