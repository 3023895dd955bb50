package io.penstock.shard.backend.cpu;

import jdk.incubator.vector.FloatVector;
import jdk.incubator.vector.VectorShape;
import jdk.incubator.vector.VectorSpecies;

/// The vectors that the kernels are compiled for: the machine's widest of 128, 256 and 512 bits, or
/// what the system property `penstock.shard.vector-bits` says. Constants, for the compiler must know
/// them.
final class VectorWidth {
    static final String PROPERTY = "penstock.shard.vector-bits";

    static final VectorSpecies<Float> FLOATS = species(Integer.getInteger(PROPERTY, 0));
    static final VectorSpecies<Integer> INTS = FLOATS.withLanes(int.class);
    /// As many bytes as there are floats in a vector, or 8, which are the fewest that a vector has.
    static final VectorSpecies<Byte> BYTES =
            VectorSpecies.of(byte.class, VectorShape.forBitSize(Math.max(8, FLOATS.length()) * Byte.SIZE));

    private VectorWidth() {}

    private static VectorSpecies<Float> species(int bits) {
        int wanted = bits == 0 ? Math.min(512, FloatVector.SPECIES_PREFERRED.vectorBitSize()) : bits;
        return switch (wanted) {
            case 128 -> FloatVector.SPECIES_128;
            case 256 -> FloatVector.SPECIES_256;
            case 512 -> FloatVector.SPECIES_512;
            // 64 bits too: a machine that has no more than that is served by the scalar kernels.
            default ->
                throw new IllegalArgumentException("vectors of %d bits; 128, 256 and 512 are known".formatted(wanted));
        };
    }
}
