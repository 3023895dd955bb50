package io.penstock.gateway.dispatch;

import com.google.errorprone.annotations.concurrent.GuardedBy;
import io.grpc.Metadata;
import io.grpc.Status;
import io.grpc.stub.ClientCallStreamObserver;
import io.grpc.stub.ClientResponseObserver;
import io.penstock.api.Backoff;
import io.penstock.api.ErrorStatus;
import io.penstock.api.inference.FinishReason;
import io.penstock.api.inference.Finished;
import io.penstock.api.inference.GenerateEvent;
import io.penstock.api.inference.GenerateRequest;
import io.penstock.api.inference.InferenceGrpc;
import io.penstock.api.inference.Token;
import io.penstock.api.inference.Tokens;
import io.penstock.gateway.access.BusyException;
import io.penstock.gateway.access.UnservableException;
import io.penstock.model.ErrorCategory;
import io.penstock.model.PenstockException;
import java.time.Duration;
import java.util.Arrays;
import java.util.List;
import java.util.Optional;
import java.util.SplittableRandom;
import java.util.concurrent.RejectedExecutionException;
import java.util.concurrent.locks.ReentrantLock;
import java.util.function.Consumer;
import org.jboss.logging.Logger;

/// One sequence, from its submission to its end, over as many schedulers as it takes. Keeps the ids of the tokens so
/// far; when a scheduler is lost it submits prompt and tokens again, so that the reader sees a pause and no more.
///
/// At most [#WINDOW] messages wait for the reader: past that the scheduler is asked for none.
public final class SequenceStream {
    private static final Logger LOG = Logger.getLogger(SequenceStream.class);
    private static final int WINDOW = 16;
    private static final Duration FIRST_WAIT = Duration.ofMillis(40);
    private static final Duration LONGEST_WAIT = Duration.ofMillis(500);
    private static final long NOT_WAITING = Long.MIN_VALUE;

    private final int sequence;
    private final GenerateRequest request;
    private final Schedulers schedulers;
    private final Schedulers.Waits waits;
    private final DispatchTimer timer;
    private final Consumer<SequenceEvent> events;
    private final Backoff backoff = new Backoff(FIRST_WAIT, LONGEST_WAIT, new SplittableRandom());

    /// Guards all below, and the order of calls to `events`.
    private final ReentrantLock lock = new ReentrantLock();

    @GuardedBy("lock")
    private int[] ids = new int[64];

    @GuardedBy("lock")
    private int count;

    @GuardedBy("lock")
    private int unconsumed;

    /// Null while none is open.
    @GuardedBy("lock")
    private Attempt attempt;

    @GuardedBy("lock")
    private SchedulerLink avoid;

    /// When to give up, on the clock of [System#nanoTime()].
    @GuardedBy("lock")
    private long deadline = NOT_WAITING;

    @GuardedBy("lock")
    private boolean over;

    SequenceStream(
            int sequence,
            GenerateRequest request,
            Schedulers schedulers,
            Schedulers.Waits waits,
            DispatchTimer timer,
            Consumer<SequenceEvent> events) {
        if (request.getMaxTokens() < 1 || request.getResumeTokensCount() > 0) {
            throw new IllegalArgumentException("a sequence starts with a limit and without tokens");
        }
        this.sequence = sequence;
        this.request = request;
        this.schedulers = schedulers;
        this.waits = waits;
        this.timer = timer;
        this.events = events;
    }

    void start() {
        lock.lock();
        try {
            deadline = System.nanoTime() + waits.admissionNanos();
            submit();
        } finally {
            lock.unlock();
        }
    }

    /// One [SequenceEvent.Generated] has been dealt with: another may come.
    public void consumed() {
        lock.lock();
        try {
            unconsumed--;
            if (attempt != null) {
                attempt.call.request(1);
            }
        } finally {
            lock.unlock();
        }
    }

    /// Nobody wants the rest: no event follows, the scheduler frees the sequence. Harmless after the end.
    public void cancel() {
        lock.lock();
        try {
            over = true;
            if (attempt != null) {
                attempt.call.cancel("no longer wanted", null);
            }
        } finally {
            lock.unlock();
        }
    }

    @GuardedBy("lock")
    private void submit() {
        if (over) {
            return;
        }
        if (count >= request.getMaxTokens()) {
            // The scheduler was lost between the last token and the word that it was the last.
            end(Finished.newBuilder()
                    .setReason(FinishReason.FINISH_REASON_LENGTH)
                    .setPromptTokens(request.getPromptTokensCount())
                    .setGeneratedTokens(count)
                    .build());
            return;
        }
        Optional<SchedulerLink> link = schedulers.pick(request.getModel(), request.getRevision(), avoid);
        if (link.isPresent()) {
            attempt = new Attempt(link.get());
            InferenceGrpc.newStub(link.get().channel()).generate(soFar(), attempt);
        } else {
            retry(unserved());
        }
    }

    private PenstockException unserved() {
        String model = request.getModel();
        return schedulers
                .refusal(model, request.getRevision())
                .<PenstockException>map(UnservableException::new)
                .orElseGet(() -> new PenstockException(
                        ErrorCategory.UNAVAILABLE, "no scheduler serves %s at the moment", model));
    }

    @GuardedBy("lock")
    private GenerateRequest soFar() {
        if (count == 0) {
            return request;
        }
        GenerateRequest.Builder resubmission = request.toBuilder();
        for (int i = 0; i < count; i++) {
            resubmission.addResumeTokens(ids[i]);
        }
        return resubmission.build();
    }

    @GuardedBy("lock")
    private void keep(int id) {
        if (count == ids.length) {
            ids = Arrays.copyOf(ids, 2 * count);
        }
        ids[count++] = id;
    }

    /// @param failure what the reader gets if there is no time left
    @GuardedBy("lock")
    private void retry(PenstockException failure) {
        long delay = backoff.nextNanos();
        if (deadline - System.nanoTime() < delay) {
            fail(failure);
            return;
        }
        try {
            timer.after(delay, this::submitLater);
        } catch (RejectedExecutionException e) {
            fail(new PenstockException(ErrorCategory.UNAVAILABLE, e, "the gateway is stopping"));
        }
    }

    private void submitLater() {
        lock.lock();
        try {
            submit();
        } finally {
            lock.unlock();
        }
    }

    @GuardedBy("lock")
    private void failed(SchedulerLink link, Throwable cause) {
        Metadata trailers = Status.trailersFromThrowable(cause);
        PenstockException failure = withAdvice(ErrorStatus.fromStatus(cause), trailers);
        boolean refused = trailers != null && trailers.containsKey(ErrorStatus.CATEGORY);
        switch (failure.category()) {
            case UNAVAILABLE, OVERLOADED -> {
                avoid = link;
                if (count > 0 || !refused) {
                    lost(failure);
                } else if (schedulers
                        .pick(request.getModel(), request.getRevision(), link)
                        .filter(other -> other != link)
                        .isPresent()) {
                    submit();
                } else {
                    retry(failure);
                }
            }
            case BAD_INPUT, NOT_FOUND, DEADLINE, CORRUPT, INTERNAL -> fail(failure);
        }
    }

    private static PenstockException withAdvice(PenstockException failure, Metadata trailers) {
        String millis = trailers == null ? null : trailers.get(ErrorStatus.RETRY_AFTER);
        if (failure.category() != ErrorCategory.OVERLOADED || millis == null) {
            return failure;
        }
        try {
            return new BusyException(Duration.ofMillis(Math.max(1, Long.parseLong(millis))), failure);
        } catch (NumberFormatException e) {
            // Advice that cannot be read is none.
            return failure;
        }
    }

    /// The scheduler took the sequence and is gone.
    @GuardedBy("lock")
    private void lost(PenstockException failure) {
        if (deadline == NOT_WAITING || count == 0) {
            deadline = System.nanoTime() + waits.resumeNanos();
            LOG.infof("%s lost its scheduler after %d tokens: %s", request.getRequestId(), count, failure);
        }
        schedulers.resumed();
        retry(failure);
    }

    @GuardedBy("lock")
    private void end(Finished finished) {
        over = true;
        events.accept(new SequenceEvent.Ended(sequence, finished));
    }

    @GuardedBy("lock")
    private void fail(PenstockException failure) {
        over = true;
        events.accept(new SequenceEvent.Failed(sequence, failure));
    }

    /// One submission to one scheduler.
    private final class Attempt implements ClientResponseObserver<GenerateRequest, GenerateEvent> {
        private final SchedulerLink link;
        private ClientCallStreamObserver<GenerateRequest> call;

        Attempt(SchedulerLink link) {
            this.link = link;
            link.sequenceStarted();
        }

        @Override
        @SuppressWarnings("GuardedBy") // Called by submit, which holds the lock.
        public void beforeStart(ClientCallStreamObserver<GenerateRequest> starting) {
            call = starting;
            call.disableAutoRequestWithInitial(WINDOW - unconsumed);
        }

        @Override
        public void onNext(GenerateEvent event) {
            lock.lock();
            try {
                if (over || attempt != this) {
                    return;
                }
                switch (event.getEventCase()) {
                    case TOKENS -> generated(event.getTokens());
                    case FINISHED -> finished(event.getFinished());
                    // From a newer scheduler: nothing that changes the text.
                    case EVENT_NOT_SET -> call.request(1);
                }
            } finally {
                lock.unlock();
            }
        }

        @GuardedBy("lock")
        private void generated(Tokens tokens) {
            int known = count - tokens.getFirstPosition();
            if (known < 0) {
                broken("tokens start at position %d, %d were expected".formatted(tokens.getFirstPosition(), count));
                return;
            }
            if (known >= tokens.getTokensCount()) {
                call.request(1);
                return;
            }
            List<Token> fresh = tokens.getTokensList();
            if (known > 0) {
                fresh = fresh.subList(known, fresh.size());
            }
            if (fresh.size() > request.getMaxTokens() - count) {
                broken("token %d came, %d were asked for".formatted(count + fresh.size(), request.getMaxTokens()));
                return;
            }
            for (int i = 0; i < fresh.size(); i++) {
                keep(fresh.get(i).getId());
            }
            deadline = NOT_WAITING;
            backoff.reset();
            unconsumed++;
            events.accept(new SequenceEvent.Generated(sequence, fresh, System.nanoTime()));
        }

        @GuardedBy("lock")
        private void finished(Finished finished) {
            if (finished.getGeneratedTokens() != count) {
                broken("it ended after %d tokens, %d came".formatted(finished.getGeneratedTokens(), count));
                return;
            }
            end(finished);
        }

        @GuardedBy("lock")
        private void broken(String how) {
            LOG.errorf("%s: the scheduler broke its contract: %s", request.getRequestId(), how);
            call.cancel("contract broken: " + how, null);
            fail(new PenstockException(ErrorCategory.INTERNAL, "%s", how));
        }

        @Override
        public void onError(Throwable cause) {
            closed(cause);
        }

        @Override
        public void onCompleted() {
            closed(Status.INTERNAL
                    .withDescription("the stream ended without a Finished event")
                    .asRuntimeException());
        }

        private void closed(Throwable cause) {
            link.sequenceEnded();
            lock.lock();
            try {
                if (attempt == this) {
                    attempt = null;
                    if (!over) {
                        failed(link, cause);
                    }
                }
            } finally {
                lock.unlock();
            }
        }
    }
}
