package io.penstock.loader.transfer;

import io.penstock.loader.cache.Blob;
import io.penstock.loader.source.Failures;
import io.penstock.loader.source.RemoteHttp;
import io.penstock.loader.source.Source;
import io.penstock.loader.source.TransientFailure;
import io.penstock.loader.wire.WireClient;
import io.penstock.loader.wire.WireRequest;
import io.penstock.model.ErrorCategory;
import io.penstock.model.PenstockException;
import java.time.Duration;
import java.util.concurrent.ExecutionException;
import java.util.concurrent.TimeUnit;
import java.util.concurrent.TimeoutException;

/// One attempt at one ranged GET: sends it and watches that it neither falls silent nor far behind.
final class PartFetch {
    private final WireClient wire;
    private final Duration stallTimeout;
    private final Pace pace;

    PartFetch(WireClient wire, Duration stallTimeout, Pace pace) {
        this.wire = wire;
        this.stallTimeout = stallTimeout;
        this.pace = pace;
    }

    /// Blocks until every piece has landed.
    ///
    /// @param from first piece
    /// @param to first piece after the range
    /// @param replaceable whether it may be given up, with [TransientFailure#SLOW], for being slower than
    ///     others
    /// @throws TransientFailure what another attempt may cure
    /// @throws PenstockException what none will
    void fetch(
            Blob blob, Source.RangeRequests requests, int from, int to, boolean replaceable, PartBody.PieceSink sink) {
        long offset = (long) from * blob.pieceSize();
        long length = Math.min((long) to * blob.pieceSize(), blob.file().size()) - offset;
        String what = blob.file().name() + " at " + offset;
        WireRequest request = requests.range(offset, length);
        PartBody body = new PartBody(what, request.http().uri().getHost(), blob, from, to, replaceable, pace, sink);
        pace.begin(body);
        WireClient.Call call = wire.send(request, body);
        boolean well = false;
        try {
            await(what, body);
            well = true;
        } catch (RuntimeException e) {
            // Another attempt may begin now: nothing of this one may reach the file after it.
            body.abandon(e);
            call.cancel();
            if (RemoteHttp.isRefusal(e)) {
                requests.renew(request);
            }
            throw e;
        } finally {
            pace.end(body, well);
        }
    }

    private void await(String what, PartBody body) {
        long poll = Math.max(1, Math.min(1000, stallTimeout.toMillis() / 4));
        while (true) {
            try {
                body.done().get(poll, TimeUnit.MILLISECONDS);
                return;
            } catch (TimeoutException e) {
                if (body.silence().compareTo(stallTimeout) > 0) {
                    throw new TransientFailure("stalled", Duration.ZERO, what + ": no byte for " + stallTimeout, e);
                }
            } catch (ExecutionException e) {
                throw e.getCause() instanceof TransientFailure known ? known : Failures.of(e.getCause(), what);
            } catch (InterruptedException e) {
                Thread.currentThread().interrupt();
                throw new PenstockException(ErrorCategory.UNAVAILABLE, e, "%s: stopped", what);
            }
        }
    }
}
