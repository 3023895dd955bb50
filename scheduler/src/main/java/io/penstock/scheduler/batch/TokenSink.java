package io.penstock.scheduler.batch;

import io.penstock.api.inference.Finished;
import io.penstock.api.inference.Token;
import io.penstock.model.PenstockException;

/// Where a sequence's tokens go. Called by the thread that has the group; no method may block.
public interface TokenSink {
    /// @param position in the generated text, contiguous from call to call
    /// @return false if the reader is too far behind to take it; the sequence is then cancelled
    boolean token(int position, Token token);

    /// The last call of a sequence that ended well.
    void finished(Finished finished);

    /// The last call of one that did not.
    ///
    /// @param retryAfterMillis when to try again; 0: not said
    void failed(PenstockException failure, long retryAfterMillis);
}
