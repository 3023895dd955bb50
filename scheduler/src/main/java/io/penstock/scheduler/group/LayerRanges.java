package io.penstock.scheduler.group;

import java.util.Arrays;

/// How a model's layers are parted among the stages of a pipeline.
final class LayerRanges {
    private LayerRanges() {}

    /// Parts `layers` evenly, earlier stages taking the extra ones, except that a stage keeps what it has
    /// loaded where the others can be fitted around it.
    ///
    /// @param loadedFirst first layer that stage s holds, -1 where it holds none or its ranks disagree
    /// @param loadedCount how many
    /// @return first layer of each stage, and `layers` behind the last
    static int[] partition(int layers, int[] loadedFirst, int[] loadedCount) {
        int stages = loadedFirst.length;
        int[] starts = new int[stages + 1];
        Arrays.fill(starts, -1);
        starts[0] = 0;
        starts[stages] = layers;
        boolean consistent = true;
        for (int stage = 0; stage < stages; stage++) {
            if (loadedFirst[stage] >= 0) {
                consistent &= fix(starts, stage, loadedFirst[stage]);
                consistent &= fix(starts, stage + 1, loadedFirst[stage] + loadedCount[stage]);
            }
        }
        if (!consistent || !fill(starts)) {
            Arrays.fill(starts, 1, stages, -1);
            fill(starts);
        }
        return starts;
    }

    private static boolean fix(int[] starts, int stage, int layer) {
        if (starts[stage] >= 0) {
            return starts[stage] == layer;
        }
        starts[stage] = layer;
        return true;
    }

    /// Sets the unset starts between set ones evenly.
    ///
    /// @return false if some stage would have no layer
    private static boolean fill(int[] starts) {
        int from = 0;
        for (int to = 1; to < starts.length; to++) {
            if (starts[to] < 0) {
                continue;
            }
            int stages = to - from;
            int layers = starts[to] - starts[from];
            if (layers < stages) {
                return false;
            }
            for (int i = 1; i < stages; i++) {
                starts[from + i] = starts[from] + i * (layers / stages) + Math.min(i, layers % stages);
            }
            from = to;
        }
        return true;
    }
}
