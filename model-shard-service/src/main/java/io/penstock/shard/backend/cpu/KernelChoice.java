package io.penstock.shard.backend.cpu;

import java.lang.management.ManagementFactory;

/// Which kernels this process uses, and why.
///
/// @param reason for people, names the cure where the choice is not the fast one
public record KernelChoice(Kernels kernels, String reason) {
    private static final String VECTOR_MODULE = "jdk.incubator.vector";

    /// The vector kernels where they are compiled to vector instructions, else the scalar ones.
    public static KernelChoice ofMachine() {
        if (ModuleLayer.boot().findModule(VECTOR_MODULE).isEmpty()) {
            return scalar("start the JVM with --add-modules=" + VECTOR_MODULE + " for vector kernels");
        }
        // Null when the JVM only interprets; without an optimising compiler each vector is an object.
        if (ManagementFactory.getCompilationMXBean() == null) {
            return scalar("this JVM does not compile; start it without -Xint for vector kernels");
        }
        return VectorSupport.choose();
    }

    static KernelChoice scalar(String reason) {
        Kernels kernels = new ScalarKernels();
        return new KernelChoice(kernels, kernels.description() + ": " + reason);
    }

    /// Apart, so that nothing of the vector module is touched where it is missing.
    private static final class VectorSupport {
        static KernelChoice choose() {
            int bits = jdk.incubator.vector.FloatVector.SPECIES_PREFERRED.vectorBitSize();
            if (bits < 128) {
                return scalar("this machine has vectors of %d bits only".formatted(bits));
            }
            Kernels kernels = new VectorKernels();
            return new KernelChoice(kernels, kernels.description() + ", C2");
        }
    }
}
