package io.penstock.gateway.openai;

import io.penstock.gateway.chat.Completion;
import io.penstock.gateway.chat.CompletionEvent;
import io.penstock.model.PenstockException;
import io.vertx.core.buffer.Buffer;
import io.vertx.core.http.HttpServerResponse;
import jakarta.ws.rs.core.Response;
import java.io.IOException;
import java.nio.charset.StandardCharsets;
import java.time.Duration;
import java.util.Optional;
import java.util.concurrent.CancellationException;
import java.util.concurrent.TimeUnit;
import java.util.concurrent.atomic.AtomicBoolean;
import java.util.concurrent.atomic.AtomicReference;
import org.jboss.logging.Logger;

/// An answer that is sent while it is generated, no faster than its reader reads. [#response] hands
/// it to Quarkus REST, whose [StreamedAnswerWriter] calls [#write]; whatever becomes of the
/// response, its completion is closed.
///
/// From then on all is done on the event loop of its connection, which whoever brings a token
/// wakes: a thread of the stream's own would be woken first, and wake that one.
final class StreamedAnswer {
    private static final Logger LOG = Logger.getLogger(StreamedAnswer.class);
    private static final byte[] COMMENT = ": keep-alive\n\n".getBytes(StandardCharsets.US_ASCII);

    /// Bytes that may wait in this process for the connection.
    private static final int QUEUE = 32 << 10;

    private enum State {
        BEGUN,
        WRITING,
        CLOSED
    }

    private final Completion running;
    private final AnswerWriter writer;
    private final Place place;
    private final Reader reader;
    private final long keepAliveNanos;
    private final long stallNanos;
    private final AtomicReference<State> state = new AtomicReference<>(State.BEGUN);

    /// A turn is under way to the event loop.
    private final AtomicBoolean awaited = new AtomicBoolean();

    // Of the event loop, once it is written.
    private Optional<CompletionEvent> next;
    private HttpServerResponse response;
    private long lastWrite;
    private long fullSince;
    private long timer;

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
        this.keepAliveNanos = keepAlive.toNanos();
        this.stallNanos = stallTimeout.toNanos();
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
                answer.release();
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

    /// Returns at once.
    void write(HttpServerResponse to) {
        if (state.compareAndSet(State.BEGUN, State.WRITING)) {
            response = to;
            response.setChunked(true);
            response.setWriteQueueMaxSize(QUEUE);
            reader.loop().runOnContext(begun -> open());
        }
    }

    private void open() {
        response.drainHandler(drained -> turn());
        running.whenSomethingComes(this::wake);
        reader.onceOver(this::wake);
        timer = after(Math.min(keepAliveNanos, stallNanos));
        if (next.isEmpty()) {
            send(COMMENT);
        }
        turn();
    }

    private void wake() {
        if (awaited.compareAndSet(false, true)) {
            reader.loop().runOnContext(woken -> turn());
        }
    }

    /// Sends what has come, if there is room for it.
    private void turn() {
        awaited.set(false);
        if (state.get() == State.CLOSED) {
            return;
        }
        try {
            if (reader.isGone()) {
                throw new CancellationException("the reader is gone");
            }
            sendEvents();
        } catch (PenstockException e) {
            fail(e);
        } catch (CancellationException e) {
            LOG.debugf("answer cut short: %s", e.getMessage());
            cut();
        } catch (IOException | RuntimeException e) {
            LOG.error("an answer broke off", e);
            cut();
        }
    }

    private void sendEvents() throws IOException {
        while (!response.writeQueueFull()) {
            fullSince = 0;
            if (next.isEmpty()) {
                next = running.poll();
            }
            if (next.isEmpty()) {
                return;
            }
            // What has come meanwhile goes out in one piece.
            while (next.isPresent()) {
                writer.event(next.get());
                if (next.get() instanceof CompletionEvent.Done) {
                    end();
                    return;
                }
                next = running.poll();
            }
            send(writer.take());
        }
        if (fullSince == 0) {
            fullSince = System.nanoTime();
        }
    }

    private void send(byte[] bytes) {
        response.write(Buffer.buffer(bytes));
        lastWrite = System.nanoTime();
    }

    /// In one piece with the end of the body: a client that stops reading at `[DONE]` then has that
    /// end too, and keeps its connection.
    private void end() throws IOException {
        response.end(Buffer.buffer(writer.take()));
        close();
    }

    private void fail(PenstockException failure) {
        Failures.report(failure);
        try {
            // No [DONE]: the stream must not look as if it had come to its end.
            writer.error(HttpError.of(failure));
            end();
        } catch (IOException e) {
            LOG.error("an answer broke off", e);
            cut();
        }
    }

    /// Ends the connection without an end of the answer.
    private void cut() {
        if (!reader.isGone()) {
            response.reset();
        }
        close();
    }

    private long after(long nanos) {
        return reader.loop().owner().setTimer(Math.max(1, TimeUnit.NANOSECONDS.toMillis(nanos)), elapsed -> look());
    }

    /// One timer for all that is late, set again for what is next: nothing is done about it for
    /// each token.
    private void look() {
        if (state.get() == State.CLOSED) {
            return;
        }
        long now = System.nanoTime();
        long left;
        if (fullSince != 0 && response.writeQueueFull()) {
            left = stallNanos - (now - fullSince);
            if (left <= 0) {
                LOG.debugf(
                        "answer cut short: the reader stood still for %d ms",
                        TimeUnit.NANOSECONDS.toMillis(stallNanos));
                cut();
                return;
            }
        } else {
            left = keepAliveNanos - (now - lastWrite);
            if (left <= 0) {
                send(COMMENT);
                left = keepAliveNanos;
            }
        }
        timer = after(Math.min(left, stallNanos));
    }

    private void close() {
        state.set(State.CLOSED);
        reader.loop().owner().cancelTimer(timer);
        release();
    }

    private void release() {
        running.close();
        place.close();
    }
}
