package io.penstock.scheduler.batch;

import java.util.ArrayList;
import java.util.List;
import java.util.TreeSet;

/// Sequences that wait to run, by (priority, arrival). A sequence that ran before keeps its arrival and so
/// comes back ahead of all that arrived after it.
public final class WaitingQueue {
    private final TreeSet<Sequence> sequences = new TreeSet<>(Sequence.ORDER);

    public void add(Sequence sequence) {
        sequences.add(sequence);
    }

    public boolean remove(Sequence sequence) {
        return sequences.remove(sequence);
    }

    public boolean isEmpty() {
        return sequences.isEmpty();
    }

    public int size() {
        return sequences.size();
    }

    public Sequence first() {
        return sequences.first();
    }

    /// A copy, in order.
    public List<Sequence> all() {
        return new ArrayList<>(sequences);
    }
}
