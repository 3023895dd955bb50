package io.penstock.gateway.grpc;

import io.grpc.Status;
import io.grpc.StatusRuntimeException;
import io.grpc.stub.ServerCallStreamObserver;
import io.grpc.stub.StreamObserver;
import io.opentelemetry.context.Context;
import io.penstock.api.ErrorStatus;
import io.penstock.api.chat.ChatEvent;
import io.penstock.api.chat.ChatRequest;
import io.penstock.api.chat.ChatServiceGrpc;
import io.penstock.gateway.access.BusyException;
import io.penstock.gateway.access.Capacity;
import io.penstock.gateway.access.UnservableException;
import io.penstock.gateway.catalogue.ModelCatalogue;
import io.penstock.gateway.chat.Completion;
import io.penstock.gateway.chat.CompletionEvent;
import io.penstock.gateway.chat.CompletionRequest;
import io.penstock.gateway.chat.Completions;
import io.penstock.gateway.chat.RequestException;
import io.penstock.gateway.config.GatewayConfig;
import io.penstock.model.ErrorCategory;
import io.penstock.model.PenstockException;
import io.quarkus.grpc.GrpcService;
import jakarta.inject.Inject;
import java.time.Duration;
import java.util.Optional;
import java.util.concurrent.CancellationException;
import java.util.concurrent.Executor;
import java.util.concurrent.Executors;
import org.jboss.logging.Logger;

/// Serves `chat.proto`: the chat of the REST API as a gRPC stream, each call on a virtual thread of its own.
@GrpcService
public class ChatEndpoint extends ChatServiceGrpc.ChatServiceImplBase {
    private static final Logger LOG = Logger.getLogger(ChatEndpoint.class);
    private static final Duration PATIENCE = Duration.ofMinutes(1);

    private final ModelCatalogue models;
    private final Completions completions;
    private final Capacity capacity;
    private final Duration stallTimeout;
    private final Executor threads = Executors.newThreadPerTaskExecutor(
            Thread.ofVirtual().name("chat-", 0).factory());

    @Inject
    public ChatEndpoint(ModelCatalogue models, Completions completions, Capacity capacity, GatewayConfig config) {
        this.models = models;
        this.completions = completions;
        this.capacity = capacity;
        this.stallTimeout = config.stallTimeout();
    }

    @Override
    public void chat(ChatRequest request, StreamObserver<ChatEvent> response) {
        long arrival = System.nanoTime();
        Context parent = Context.current();
        ChatStream stream = new ChatStream((ServerCallStreamObserver<ChatEvent>) response, stallTimeout);
        long size = request.getSerializedSize();
        try {
            capacity.enter();
            try {
                capacity.hold(size);
            } catch (PenstockException e) {
                capacity.leave();
                throw e;
            }
        } catch (PenstockException e) {
            response.onError(ErrorStatus.toStatus(e));
            return;
        }
        threads.execute(() -> {
            try {
                serve(request, stream, arrival, parent);
            } catch (PenstockException e) {
                stream.fail(shown(e));
            } catch (CancellationException e) {
                LOG.debugf("chat cut short: %s", e.getMessage());
                stream.fail(Status.CANCELLED.withDescription("read too slowly").asRuntimeException());
            } catch (InterruptedException e) {
                Thread.currentThread().interrupt();
                stream.fail(Status.CANCELLED.asRuntimeException());
            } catch (RuntimeException e) {
                LOG.error("a chat failed", e);
                stream.fail(ErrorStatus.toStatus(ErrorCategory.INTERNAL, "something broke on our side"));
            } finally {
                capacity.release(size);
                capacity.leave();
            }
        });
    }

    /// The JSON in a request can become a hundred times larger: that has to find room, too.
    private CompletionRequest read(ChatRequest request) {
        long weight = ChatMessages.weight(request);
        if (weight > capacity.maxBytes() - request.getSerializedSize()) {
            throw RequestException.bad("tools", "the request's JSON holds more values than there is memory for");
        }
        capacity.hold(weight);
        try {
            return ChatMessages.read(request, models);
        } finally {
            capacity.release(weight);
        }
    }

    private void serve(ChatRequest request, ChatStream stream, long arrival, Context parent)
            throws InterruptedException {
        CompletionRequest completion = read(request);
        try (Completion running = completions.begin(completion, arrival, true, parent)) {
            stream.feeds(running);
            while (true) {
                Optional<CompletionEvent> event = running.next(PATIENCE);
                if (event.isPresent()) {
                    stream.send(ChatEvents.event(completion, event.get()));
                    if (event.get() instanceof CompletionEvent.Done) {
                        stream.complete();
                        return;
                    }
                }
            }
        }
    }

    /// Texts that are for operators stay here.
    private static RuntimeException shown(PenstockException failure) {
        return switch (failure.category()) {
            case BAD_INPUT, NOT_FOUND -> ErrorStatus.toStatus(failure);
            case OVERLOADED -> {
                StatusRuntimeException busy = ErrorStatus.toStatus(failure.category(), "no room for this request now");
                if (failure instanceof BusyException advised && busy.getTrailers() != null) {
                    busy.getTrailers()
                            .put(
                                    ErrorStatus.RETRY_AFTER,
                                    Long.toString(advised.retryAfter().toMillis()));
                }
                yield busy;
            }
            case UNAVAILABLE ->
                failure instanceof UnservableException
                        ? ErrorStatus.toStatus(failure)
                        : ErrorStatus.toStatus(failure.category(), "the model cannot be reached at the moment");
            case DEADLINE -> ErrorStatus.toStatus(failure.category(), "it took longer than it was given");
            case CORRUPT, INTERNAL -> {
                LOG.error("a chat failed", failure);
                yield ErrorStatus.toStatus(ErrorCategory.INTERNAL, "something broke on our side");
            }
        };
    }
}
