package io.penstock.scheduler.grpc;

import io.grpc.Context;
import io.grpc.Deadline;
import io.grpc.stub.ServerCallStreamObserver;
import io.grpc.stub.StreamObserver;
import io.opentelemetry.api.trace.Span;
import io.penstock.api.TraceContexts;
import io.penstock.api.inference.GenerateEvent;
import io.penstock.api.inference.GenerateRequest;
import io.penstock.api.inference.InferenceGrpc;
import io.penstock.api.inference.SchedulerStatus;
import io.penstock.api.inference.WatchRequest;
import io.penstock.model.ErrorCategory;
import io.penstock.model.PenstockException;
import io.penstock.scheduler.admission.RequestCheck;
import io.penstock.scheduler.batch.Sequence;
import io.penstock.scheduler.batch.SequenceRequest;
import io.penstock.scheduler.config.SchedulerConfig;
import io.penstock.scheduler.group.GroupLoop;
import io.penstock.scheduler.group.Groups;
import io.penstock.scheduler.telemetry.RequestSpans;
import io.quarkus.grpc.GrpcService;
import java.util.concurrent.TimeUnit;
import java.util.function.LongSupplier;

/// Serves `inference.proto`. Its methods run on the transport's event loop: they check, hand over to a
/// group's loop, and return.
@GrpcService
public class InferenceService extends InferenceGrpc.InferenceImplBase {
    private static final long RETRY_MILLIS = 100;

    private final Groups groups;
    private final StatusFeed feed;
    private final RequestSpans spans;
    private final LongSupplier clock;
    private final OpenStreams open;
    private final int bufferTokens;

    InferenceService(
            Groups groups,
            StatusFeed feed,
            RequestSpans spans,
            MonotonicClock clock,
            OpenStreams open,
            SchedulerConfig config) {
        this.groups = groups;
        this.feed = feed;
        this.spans = spans;
        this.clock = clock;
        this.open = open;
        bufferTokens = config.streamBufferTokens();
    }

    @Override
    public void generate(GenerateRequest request, StreamObserver<GenerateEvent> response) {
        ServerCallStreamObserver<GenerateEvent> observer = (ServerCallStreamObserver<GenerateEvent>) response;
        GenerateStream stream = new GenerateStream(observer, bufferTokens, open);
        Span span = spans.start(request.getModel(), RequestCheck.trace(request));
        try {
            GroupLoop loop = groups.pick(request.getModel(), request.getRevision());
            SequenceRequest checked = RequestCheck.check(
                    request, loop.snapshot().identity(), clock.getAsLong(), callNanosLeft(), TraceContexts.of(span));
            Sequence sequence = new Sequence(checked, stream, span);
            observer.setOnCancelHandler(() -> {
                stream.cancelled();
                loop.execute(group -> group.cancel(sequence));
            });
            if (!loop.submit(sequence)) {
                refuse(
                        stream,
                        span,
                        new PenstockException(ErrorCategory.OVERLOADED, "too many requests at once"),
                        RETRY_MILLIS);
            }
        } catch (PenstockException e) {
            observer.setOnCancelHandler(stream::cancelled);
            refuse(stream, span, e, 0);
        }
    }

    private void refuse(GenerateStream stream, Span span, PenstockException why, long retryMillis) {
        spans.end(span, why.category());
        stream.failed(why, retryMillis);
    }

    private static long callNanosLeft() {
        Deadline deadline = Context.current().getDeadline();
        return deadline == null ? Long.MAX_VALUE : deadline.timeRemaining(TimeUnit.NANOSECONDS);
    }

    @Override
    public void watch(WatchRequest request, StreamObserver<SchedulerStatus> response) {
        feed.watch((ServerCallStreamObserver<SchedulerStatus>) response);
    }
}
