package io.penstock.gateway.openai;

import io.penstock.gateway.chat.Completion;
import io.penstock.gateway.chat.CompletionEvent;
import io.penstock.model.PenstockException;
import io.vertx.core.http.HttpServerResponse;
import jakarta.ws.rs.core.Response;
import java.io.IOException;
import java.nio.charset.StandardCharsets;
import java.time.Duration;
import java.util.Optional;
import java.util.concurrent.CancellationException;
import java.util.concurrent.atomic.AtomicReference;
import org.jboss.logging.Logger;

/// An answer that is sent while it is generated. [#response] hands it to Quarkus REST, whose [StreamedAnswerWriter]
/// calls [#write] on the request's thread; whatever becomes of the response, its completion is closed.
final class StreamedAnswer {
    private static final Logger LOG = Logger.getLogger(StreamedAnswer.class);
    private static final byte[] COMMENT = ": keep-alive\n\n".getBytes(StandardCharsets.US_ASCII);

    private enum State {
        BEGUN,
        WRITING,
        CLOSED
    }

    private final Completion running;
    private final AnswerWriter writer;
    private final Place place;
    private final Reader reader;
    private final Duration keepAlive;
    private final Duration stallTimeout;
    private final AtomicReference<State> state = new AtomicReference<>(State.BEGUN);
    private Optional<CompletionEvent> next;

    private StreamedAnswer(
            Completion running,
            AnswerWriter writer,
            Place place,
            Reader reader,
            Duration keepAlive,
            Duration stallTimeout,
            Optional<CompletionEvent> first) {
        this.running = running;
        this.writer = writer;
        this.place = place;
        this.reader = reader;
        this.keepAlive = keepAlive;
        this.stallTimeout = stallTimeout;
        this.next = first;
    }

    /// Waits until something is to be sent: until then a failure has a status of its own.
    ///
    /// @param place given up with the answer
    /// @throws PenstockException if the generation fails
    /// @throws CancellationException if the reader is gone
    static StreamedAnswer begin(
            Completion running,
            AnswerWriter writer,
            Place place,
            Reader reader,
            Duration keepAlive,
            Duration stallTimeout)
            throws InterruptedException {
        Optional<CompletionEvent> first = running.next(keepAlive);
        StreamedAnswer answer = new StreamedAnswer(running, writer, place, reader, keepAlive, stallTimeout, first);
        // Where the response comes to its end before a byte of this is asked for.
        reader.onceOver(() -> {
            if (answer.state.compareAndSet(State.BEGUN, State.CLOSED)) {
                answer.close();
            }
        });
        return answer;
    }

    Response response() {
        return Response.ok(this)
                .header("content-type", "text/event-stream")
                .header("cache-control", "no-cache")
                .header("x-accel-buffering", "no")
                .build();
    }

    void write(HttpServerResponse response) throws IOException {
        if (!state.compareAndSet(State.BEGUN, State.WRITING)) {
            return;
        }
        EventStream stream = new EventStream(response, reader, stallTimeout);
        try {
            write(stream);
        } catch (CancellationException e) {
            LOG.debugf("answer cut short: %s", e.getMessage());
            stream.cut();
        } catch (InterruptedException e) {
            Thread.currentThread().interrupt();
            stream.cut();
        } catch (IOException | RuntimeException e) {
            LOG.error("an answer broke off", e);
            stream.cut();
        } finally {
            state.set(State.CLOSED);
            close();
        }
    }

    private void write(EventStream stream) throws IOException, InterruptedException {
        try {
            while (true) {
                if (next.isEmpty()) {
                    stream.write(COMMENT);
                } else {
                    // What has come meanwhile goes out in one piece.
                    while (next.isPresent()) {
                        writer.event(next.get());
                        if (next.get() instanceof CompletionEvent.Done) {
                            stream.end(writer.take());
                            return;
                        }
                        next = running.next(Duration.ZERO);
                    }
                    stream.write(writer.take());
                }
                next = running.next(keepAlive);
            }
        } catch (PenstockException e) {
            Failures.report(e);
            // No [DONE]: the stream must not look as if it had come to its end.
            writer.error(HttpError.of(e));
            stream.end(writer.take());
        }
    }

    private void close() {
        running.close();
        place.close();
    }
}
