package io.penstock.gateway.fake;

import io.grpc.stub.ServerCallStreamObserver;
import io.penstock.api.ErrorStatus;
import io.penstock.api.inference.FinishReason;
import io.penstock.api.inference.Finished;
import io.penstock.api.inference.GenerateEvent;
import io.penstock.api.inference.GenerateRequest;
import io.penstock.api.inference.Token;
import io.penstock.api.inference.TokenLogprob;
import io.penstock.api.inference.Tokens;
import io.penstock.gateway.fake.Script.Incident;
import io.penstock.model.ErrorCategory;
import java.util.concurrent.CountDownLatch;
import java.util.concurrent.TimeUnit;
import java.util.concurrent.atomic.AtomicInteger;
import java.util.concurrent.locks.Condition;
import java.util.concurrent.locks.ReentrantLock;

/// One Generate call at a [FakeScheduler]. Sends only what its client asks for, and keeps to the contract of
/// `inference.proto` except where its script says otherwise.
public final class FakeCall {
    private final GenerateRequest request;
    private final Played played;
    private final Script script;
    private final FakeScheduler scheduler;
    private final ServerCallStreamObserver<GenerateEvent> response;
    private final ReentrantLock lock = new ReentrantLock();
    private final Condition changed = lock.newCondition();
    private final CountDownLatch cancelled = new CountDownLatch(1);
    private final AtomicInteger sent = new AtomicInteger();

    FakeCall(
            GenerateRequest request,
            Played played,
            FakeScheduler scheduler,
            ServerCallStreamObserver<GenerateEvent> response) {
        this.request = request;
        this.played = played;
        script = played.script();
        this.scheduler = scheduler;
        this.response = response;
        response.setOnReadyHandler(this::wake);
        response.setOnCancelHandler(() -> {
            cancelled.countDown();
            wake();
        });
    }

    public GenerateRequest request() {
        return request;
    }

    /// Tokens that were handed to the transport.
    public int sent() {
        return sent.get();
    }

    public boolean awaitCancelled(int seconds) throws InterruptedException {
        return cancelled.await(seconds, TimeUnit.SECONDS);
    }

    private void wake() {
        lock.lock();
        try {
            changed.signalAll();
        } finally {
            lock.unlock();
        }
    }

    void run() {
        try {
            for (int i = 0; i < request.getResumeTokensCount(); i++) {
                if (request.getResumeTokens(i) != script.token(i)) {
                    response.onError(ErrorStatus.toStatus(ErrorCategory.BAD_INPUT, "resume token " + i + " is wrong"));
                    return;
                }
            }
            for (int position = request.getResumeTokensCount(); ; position++) {
                if (!say(position)) {
                    return;
                }
            }
        } catch (InterruptedException e) {
            Thread.currentThread().interrupt();
        }
    }

    /// @return whether there is more to say
    private boolean say(int position) throws InterruptedException {
        int first = position;
        int skew = 0;
        switch (played.incident(position)) {
            case null -> {}
            case Incident.Pause pause -> pause.until().await();
            case Incident.Fail fail -> {
                response.onError(fail.status());
                return false;
            }
            case Incident.Die die -> {
                scheduler.kill();
                return false;
            }
            case Incident.Skew wrong -> skew = wrong.by();
            case Incident.Repeat repeat -> first = position - repeat.count();
            case Incident.Hush hush -> {
                response.onCompleted();
                return false;
            }
        }
        int id = script.token(position);
        boolean stops = request.getStopTokenIdsList().contains(id);
        if (position >= request.getMaxTokens() || stops) {
            if (awaitRoom()) {
                Finished.Builder finished = Finished.newBuilder()
                        .setReason(stops ? FinishReason.FINISH_REASON_STOP : FinishReason.FINISH_REASON_LENGTH)
                        .setPromptTokens(request.getPromptTokensCount())
                        .setCachedPromptTokens(scheduler.cachedTokens())
                        .setGeneratedTokens(position);
                if (stops) {
                    finished.setStopTokenId(id);
                }
                response.onNext(GenerateEvent.newBuilder().setFinished(finished).build());
                response.onCompleted();
            }
            return false;
        }
        if (!awaitRoom()) {
            return false;
        }
        Tokens.Builder tokens = Tokens.newBuilder().setFirstPosition(first + skew);
        for (int at = first; at <= position; at++) {
            tokens.addTokens(token(at));
        }
        response.onNext(GenerateEvent.newBuilder().setTokens(tokens).build());
        sent.incrementAndGet();
        return true;
    }

    private Token token(int position) {
        Token.Builder token = Token.newBuilder().setId(script.token(position));
        if (request.hasTopLogprobs()) {
            token.setLogprob(-0.25f * (position + 1));
            for (int i = 0; i < request.getTopLogprobs(); i++) {
                token.addTop(TokenLogprob.newBuilder()
                        .setId((token.getId() + i) % 256)
                        .setLogprob(-0.25f * (position + 1) - i));
            }
        }
        return token.build();
    }

    private boolean awaitRoom() throws InterruptedException {
        lock.lock();
        try {
            while (!response.isReady() && !response.isCancelled()) {
                changed.await();
            }
            return !response.isCancelled();
        } finally {
            lock.unlock();
        }
    }
}
