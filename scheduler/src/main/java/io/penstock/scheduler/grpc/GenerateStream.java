package io.penstock.scheduler.grpc;

import io.grpc.StatusRuntimeException;
import io.grpc.stub.ServerCallStreamObserver;
import io.penstock.api.ErrorStatus;
import io.penstock.api.inference.Finished;
import io.penstock.api.inference.GenerateEvent;
import io.penstock.api.inference.Token;
import io.penstock.api.inference.Tokens;
import io.penstock.model.PenstockException;
import io.penstock.scheduler.batch.TokenSink;
import java.util.ArrayDeque;
import org.jboss.logging.Logger;

/// One client's stream of events, with what it has not been ready to take. Tokens come from whoever has
/// the group, readiness from the transport's; the lock guards the buffer and orders calls to the
/// observer, which is never called while it is not ready, except to end.
final class GenerateStream implements TokenSink {

    private static final Logger LOG = Logger.getLogger(GenerateStream.class);
    private static final int MOST_TOKENS_AN_EVENT = 256;

    private final ServerCallStreamObserver<GenerateEvent> observer;
    private final int capacity;
    private final OpenStreams open;

    private final Object lock = new Object();
    private final ArrayDeque<Token> buffer = new ArrayDeque<>();
    private int firstPosition;
    private Finished finished;
    private boolean ended;

    /// @param capacity tokens that may wait for the client
    /// @param open counts this stream until it ends
    GenerateStream(ServerCallStreamObserver<GenerateEvent> observer, int capacity, OpenStreams open) {
        this.observer = observer;
        this.capacity = capacity;
        this.open = open;
        open.opened();
        observer.setOnReadyHandler(this::flush);
    }

    @Override
    public boolean token(int position, Token token) {
        synchronized (lock) {
            if (ended) {
                return false;
            }
            if (buffer.isEmpty()) {
                firstPosition = position;
            }
            buffer.add(token);
            flush();
            return !ended && buffer.size() <= capacity;
        }
    }

    @Override
    public void finished(Finished last) {
        synchronized (lock) {
            finished = last;
            flush();
        }
    }

    @Override
    public void failed(PenstockException failure, long retryAfterMillis) {
        StatusRuntimeException status = ErrorStatus.toStatus(failure.category(), shown(failure));
        if (retryAfterMillis > 0 && status.getTrailers() != null) {
            status.getTrailers().put(ErrorStatus.RETRY_AFTER, Long.toString(retryAfterMillis));
        }
        synchronized (lock) {
            flush();
            if (!ended) {
                observer.onError(status);
                end();
            }
        }
    }

    /// What a client may see of a failure.
    private static String shown(PenstockException failure) {
        return switch (failure.category()) {
            case BAD_INPUT, NOT_FOUND, OVERLOADED, UNAVAILABLE, DEADLINE -> failure.getMessage();
            case CORRUPT -> "the model's weights are damaged";
            case INTERNAL -> "internal error";
        };
    }

    /// The call is over; nothing can be sent any more.
    void cancelled() {
        synchronized (lock) {
            if (!ended) {
                end();
            }
        }
    }

    private void end() {
        ended = true;
        buffer.clear();
        open.closed();
    }

    private void flush() {
        synchronized (lock) {
            try {
                send();
            } catch (RuntimeException e) {
                // Thrown on into the loop, it would cost every stream of the group.
                LOG.error("a stream broke while it was written", e);
                end();
            }
        }
    }

    private void send() {
        while (!ended && !buffer.isEmpty() && observer.isReady()) {
            Tokens.Builder tokens = Tokens.newBuilder().setFirstPosition(firstPosition);
            for (int n = Math.min(buffer.size(), MOST_TOKENS_AN_EVENT); n > 0; n--) {
                tokens.addTokens(buffer.remove());
            }
            firstPosition += tokens.getTokensCount();
            observer.onNext(GenerateEvent.newBuilder().setTokens(tokens).build());
        }
        if (!ended && buffer.isEmpty() && finished != null) {
            observer.onNext(GenerateEvent.newBuilder().setFinished(finished).build());
            observer.onCompleted();
            end();
        }
    }
}
