package io.penstock.loader.transfer;

import java.net.http.HttpResponse.BodySubscriber;
import java.nio.ByteBuffer;
import java.util.List;
import java.util.concurrent.CompletableFuture;
import java.util.concurrent.CompletionStage;
import java.util.concurrent.Flow;

/// A body that is not read, because its headers show that it is not what was asked for. The connection is
/// given up:
/// the body may be the whole object.
record RefusedBody(RuntimeException reason) implements BodySubscriber<String> {
    @Override
    public CompletionStage<String> getBody() {
        return CompletableFuture.failedFuture(reason);
    }

    @Override
    public void onSubscribe(Flow.Subscription subscription) {
        subscription.cancel();
    }

    @Override
    public void onNext(List<ByteBuffer> buffers) {}

    @Override
    public void onError(Throwable failure) {}

    @Override
    public void onComplete() {}
}
