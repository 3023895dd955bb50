package io.penstock.gateway.dispatch;

import io.penstock.api.inference.Finished;
import io.penstock.api.inference.Token;
import io.penstock.model.PenstockException;
import java.util.List;

/// What happens to one sequence, in order: tokens, then exactly one of the ends.
public sealed interface SequenceEvent {
    /// The caller's number of the sequence.
    int sequence();

    /// Each must be answered by [SequenceStream#consumed], or no more will come.
    ///
    /// @param tokens that follow the ones before without a gap; one or more
    /// @param nanos when they arrived, by [System#nanoTime()]
    record Generated(int sequence, List<Token> tokens, long nanos) implements SequenceEvent {}

    record Ended(int sequence, Finished finished) implements SequenceEvent {}

    record Failed(int sequence, PenstockException failure) implements SequenceEvent {}
}
