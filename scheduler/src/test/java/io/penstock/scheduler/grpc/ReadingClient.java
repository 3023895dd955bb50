package io.penstock.scheduler.grpc;

import io.grpc.stub.ClientCallStreamObserver;
import io.grpc.stub.ClientResponseObserver;
import io.penstock.api.inference.Finished;
import io.penstock.api.inference.GenerateEvent;
import io.penstock.api.inference.GenerateRequest;
import io.penstock.api.inference.Token;
import java.util.ArrayList;
import java.util.List;
import java.util.concurrent.CompletableFuture;
import java.util.concurrent.CountDownLatch;

/// A client of `Generate` that checks that positions are contiguous.
final class ReadingClient implements ClientResponseObserver<GenerateRequest, GenerateEvent> {
    private final boolean reads;
    private final List<Integer> tokens = new ArrayList<>();
    private final int first;
    private Finished finished;

    final CountDownLatch firstToken = new CountDownLatch(1);
    final CompletableFuture<Finished> ended = new CompletableFuture<>();
    ClientCallStreamObserver<GenerateRequest> call;

    /// @param reads false: asks for no event
    /// @param first position at which the stream must begin
    ReadingClient(boolean reads, int first) {
        this.reads = reads;
        this.first = first;
    }

    @Override
    public void beforeStart(ClientCallStreamObserver<GenerateRequest> stream) {
        call = stream;
        if (!reads) {
            stream.disableAutoRequestWithInitial(0);
        }
    }

    @Override
    public void onNext(GenerateEvent event) {
        if (event.hasFinished()) {
            finished = event.getFinished();
            return;
        }
        if (event.getTokens().getFirstPosition() != first + tokens.size()) {
            ended.completeExceptionally(
                    new AssertionError("position " + event.getTokens().getFirstPosition()));
        }
        for (Token token : event.getTokens().getTokensList()) {
            tokens.add(token.getId());
        }
        firstToken.countDown();
    }

    @Override
    public void onError(Throwable failure) {
        ended.completeExceptionally(failure);
    }

    @Override
    public void onCompleted() {
        if (finished == null) {
            ended.completeExceptionally(new AssertionError("a clean end without Finished"));
        }
        ended.complete(finished);
    }

    List<Integer> tokens() {
        return tokens;
    }
}
