package io.penstock.gateway.openai;

import io.opentelemetry.context.Context;
import io.penstock.gateway.chat.Completion;
import io.penstock.gateway.chat.CompletionEvent;
import io.penstock.gateway.chat.Completions;
import io.penstock.gateway.chat.FinishReason;
import io.penstock.gateway.chat.TokenText;
import io.penstock.model.PenstockException;
import io.vertx.core.buffer.Buffer;
import io.vertx.core.http.HttpServerRequest;
import io.vertx.core.http.HttpServerResponse;
import java.io.IOException;
import java.time.Duration;
import java.util.ArrayList;
import java.util.List;
import java.util.Optional;
import java.util.concurrent.CancellationException;
import org.jboss.logging.Logger;

/// One request for a completion and its answer, once its body is here. Runs on a virtual thread of its own, which waits
/// for tokens and for the reader in turn; the connection's handlers, on its event loop, tell it when the reader is
/// gone.
final class Exchange {
    private static final Logger LOG = Logger.getLogger(Exchange.class);
    private static final Buffer COMMENT = Buffer.buffer(": keep-alive\n\n");

    private final HttpServerResponse response;
    private final Format format;
    private final Completions completions;
    private final Duration keepAlive;
    private final long arrival = System.nanoTime();
    private final Context parent = Context.current();
    private final EventStream stream;
    private volatile Completion completion;

    Exchange(
            HttpServerRequest request,
            Format format,
            Completions completions,
            Duration keepAlive,
            Duration stallTimeout) {
        this.response = request.response();
        this.format = format;
        this.completions = completions;
        this.keepAlive = keepAlive;
        this.stream = new EventStream(response, stallTimeout);
    }

    /// The connection is closed, or its stream reset: nobody waits for the answer.
    void readerGone() {
        stream.closed();
        Completion running = completion;
        if (running != null) {
            running.cancel();
        }
    }

    void refuse(HttpError error) {
        if (!stream.isClosed() && !response.ended()) {
            if (error.retryAfter() > 0) {
                response.putHeader("retry-after", Integer.toString(error.retryAfter()));
            }
            response.setStatusCode(error.status())
                    .putHeader("content-type", "application/json")
                    .end(Buffer.buffer(error.bytes()));
        }
    }

    void run(byte[] body) {
        try {
            answer(format.read(new Fields(Json.parse(body), "")));
        } catch (PenstockException e) {
            report(e);
            refuse(HttpError.of(e));
        } catch (CancellationException e) {
            LOG.debugf("answer cut short: %s", e.getMessage());
            cut();
        } catch (InterruptedException e) {
            Thread.currentThread().interrupt();
            cut();
        } catch (IOException | RuntimeException e) {
            LOG.error("a request failed", e);
            if (response.headWritten()) {
                cut();
            } else {
                refuse(HttpError.internal());
            }
        }
    }

    private void answer(OpenAiRequest request) throws IOException, InterruptedException {
        try (Completion running = completions.begin(request.completion(), arrival, request.stream(), parent)) {
            completion = running;
            if (stream.isClosed()) {
                return;
            }
            AnswerWriter writer = new AnswerWriter(request, format);
            if (request.stream()) {
                stream(running, writer);
            } else {
                whole(running, writer);
            }
        }
    }

    private void stream(Completion running, AnswerWriter writer) throws IOException, InterruptedException {
        // Until something is to be sent, a failure has a status of its own.
        Optional<CompletionEvent> next = running.next(keepAlive);
        response.putHeader("content-type", "text/event-stream")
                .putHeader("cache-control", "no-cache")
                .putHeader("x-accel-buffering", "no");
        stream.open();
        try {
            while (true) {
                if (next.isEmpty()) {
                    stream.write(COMMENT);
                    next = running.next(keepAlive);
                    continue;
                }
                // What has come meanwhile goes out in one piece.
                boolean done = false;
                while (next.isPresent()) {
                    writer.event(next.get());
                    done = next.get() instanceof CompletionEvent.Done;
                    next = done ? Optional.empty() : running.next(Duration.ZERO);
                }
                stream.write(writer.take());
                if (done) {
                    response.end();
                    return;
                }
                next = running.next(keepAlive);
            }
        } catch (PenstockException e) {
            report(e);
            // No [DONE]: the stream must not look as if it had come to its end.
            writer.error(HttpError.of(e));
            stream.write(writer.take());
            response.end();
        }
    }

    private void whole(Completion running, AnswerWriter writer) throws IOException, InterruptedException {
        int count = running.request().sequences();
        List<StringBuilder> texts = new ArrayList<>(count);
        List<List<TokenText>> tokens = new ArrayList<>(count);
        FinishReason[] reasons = new FinishReason[count];
        for (int choice = 0; choice < count; choice++) {
            texts.add(new StringBuilder());
            tokens.add(new ArrayList<>());
        }
        while (true) {
            Optional<CompletionEvent> next = running.next(keepAlive);
            if (next.isEmpty()) {
                continue;
            }
            switch (next.get()) {
                case CompletionEvent.Delta delta -> {
                    texts.get(delta.choice()).append(delta.text());
                    tokens.get(delta.choice()).addAll(delta.tokens());
                }
                case CompletionEvent.Ended ended -> reasons[ended.choice()] = ended.reason();
                case CompletionEvent.Done done -> {
                    List<WholeChoice> choices = new ArrayList<>(count);
                    for (int choice = 0; choice < count; choice++) {
                        choices.add(new WholeChoice(texts.get(choice).toString(), tokens.get(choice), reasons[choice]));
                    }
                    response.putHeader("content-type", "application/json").end(writer.whole(choices, done.usage()));
                    return;
                }
            }
        }
    }

    /// Ends the connection without an end of the answer.
    private void cut() {
        if (!stream.isClosed()) {
            response.reset();
        }
    }

    private static void report(PenstockException failure) {
        switch (failure.category()) {
            case BAD_INPUT, NOT_FOUND, OVERLOADED -> LOG.debugf("request refused: %s", failure.getMessage());
            case UNAVAILABLE, DEADLINE -> LOG.warnf("request failed: %s", failure.getMessage());
            case CORRUPT, INTERNAL -> LOG.error("request failed", failure);
        }
    }
}
