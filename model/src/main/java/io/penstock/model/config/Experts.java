package io.penstock.model.config;

import io.penstock.model.ErrorCategory;
import io.penstock.model.PenstockException;

/// Layers whose MLP is many small ones, of which a token uses a few (arXiv 2101.03961, DeepSeekMoE 2401.06066).
///
/// @param count experts of a layer
/// @param used by each token
/// @param intermediateSize of one expert
/// @param sharedSize columns of the MLP that every token uses beside its experts; 0 for none
/// @param firstDense layers at the beginning that have one plain MLP
/// @param normalised whether the weights of a token's experts are made to add up to 1
/// @param scale what the weights are multiplied by then
/// @param groups of neighbouring experts, of which the best `usedGroups` are looked at; 1 for no such limit
public record Experts(
        int count,
        int used,
        int intermediateSize,
        int sharedSize,
        int firstDense,
        Routing routing,
        boolean normalised,
        double scale,
        int groups,
        int usedGroups) {

    /// How experts are chosen.
    public enum Routing {
        /// The highest probabilities. A group is as good as its best expert.
        SOFTMAX,
        /// The highest sigmoids after a learnt bias was added, which the weights do without. A group is as good as its
        /// two best experts together (DeepSeek-V3, arXiv 2412.19437).
        BIASED_SIGMOID
    }

    public Experts {
        Bounds.within("experts", count, 1, 1 << 14);
        Bounds.within("experts a token uses", used, 1, count);
        Bounds.within("intermediate size of an expert", intermediateSize, 1, 1 << 20);
        Bounds.within("intermediate size of shared experts", sharedSize, 0, 1 << 22);
        Bounds.within("dense layers before experts", firstDense, 0, 1_000);
        Bounds.within("groups of experts", groups, 1, count);
        Bounds.within("groups a token looks at", usedGroups, 1, groups);
        Bounds.within("scale of experts", scale, 1e-6, 1e6);
        int least = routing == Routing.BIASED_SIGMOID && groups > 1 ? 2 : 1;
        if (count % groups != 0 || count / groups < least || used > count / groups * usedGroups) {
            throw new PenstockException(
                    ErrorCategory.CORRUPT,
                    "%d experts in %d groups, of which a token uses %d of %d groups, cannot be chosen so",
                    count,
                    groups,
                    used,
                    usedGroups);
        }
    }
}
