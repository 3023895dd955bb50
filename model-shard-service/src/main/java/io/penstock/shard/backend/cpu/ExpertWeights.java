package io.penstock.shard.backend.cpu;

import java.util.List;

/// What one layer has in its MLP's place, as far as this rank holds it.
///
/// @param routerBias null for a router without
/// @param experts those of the rank's slice, in order
/// @param shared what every token uses; null for none
record ExpertWeights(PackedMatrix router, float[] routerBias, List<Mlp> experts, Mlp shared) {
    record Mlp(PackedMatrix gate, PackedMatrix up, PackedMatrix down) {}
}
