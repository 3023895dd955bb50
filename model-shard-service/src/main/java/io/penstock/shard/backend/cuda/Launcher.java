package io.penstock.shard.backend.cuda;

import static java.lang.foreign.ValueLayout.ADDRESS;
import static java.lang.foreign.ValueLayout.JAVA_INT;
import static java.lang.foreign.ValueLayout.JAVA_LONG;

import java.lang.foreign.Arena;
import java.lang.foreign.MemorySegment;
import java.lang.foreign.ValueLayout;
import java.lang.invoke.MethodHandle;

/// `cuLaunchKernelEx` by the Foreign Function API: 11 us a call through JCuda, most of it spent on
/// wrapping arguments.
/// Used while graphs are captured, and by steps that cannot be one graph.
final class Launcher {
    private static final MethodHandle LAUNCH = NativeLibrary.find("libcuda.so.1")
            .function("cuLaunchKernelEx", JAVA_INT, ADDRESS, JAVA_LONG, ADDRESS, ADDRESS);
    // Of `CUlaunchConfig` and `CUlaunchAttribute`: where what lies.
    private static final int CONFIG_BYTES = 56;
    private static final int STREAM = 32;
    private static final int ATTRIBUTES = 40;
    private static final int ATTRIBUTE_COUNT = 48;
    private static final int ATTRIBUTE_BYTES = 72;
    private static final int ATTRIBUTE_VALUE = 8;
    private static final int PROGRAMMATIC_STREAM_SERIALIZATION = 6;
    private static final int MAX_ARGUMENTS = 32;
    // The largest argument is a struct passed by value.
    private static final int ARGUMENT_BYTES = 256;

    private final MemorySegment config;
    private final MemorySegment pointers;
    private final MemorySegment values;

    Launcher(Arena arena) {
        config = arena.allocate(CONFIG_BYTES, 8);
        MemorySegment follows = arena.allocate(ATTRIBUTE_BYTES, 8);
        follows.set(JAVA_INT, 0, PROGRAMMATIC_STREAM_SERIALIZATION);
        follows.set(JAVA_INT, ATTRIBUTE_VALUE, 1);
        config.set(ADDRESS, ATTRIBUTES, follows);
        pointers = arena.allocate(ADDRESS, MAX_ARGUMENTS);
        values = arena.allocate((long) MAX_ARGUMENTS * ARGUMENT_BYTES, 16);
        for (int i = 0; i < MAX_ARGUMENTS; i++) {
            pointers.setAtIndex(ADDRESS, i, values.asSlice((long) i * ARGUMENT_BYTES, ARGUMENT_BYTES));
        }
    }

    /// @param arguments `Integer`, `Float`, `Long` (a device address too), or a `MemorySegment` for a
    ///     struct by value
    /// @return the driver's status
    int launch(Kernel kernel, long stream, Grid grid, Object... arguments) {
        for (int i = 0; i < arguments.length; i++) {
            long at = (long) i * ARGUMENT_BYTES;
            switch (arguments[i]) {
                case Integer v -> values.set(ValueLayout.JAVA_INT, at, v);
                case Long v -> values.set(ValueLayout.JAVA_LONG, at, v);
                case Float v -> values.set(ValueLayout.JAVA_FLOAT, at, v);
                case MemorySegment v -> MemorySegment.copy(v, 0, values, at, v.byteSize());
                default -> throw new IllegalArgumentException("argument %d is %s".formatted(i, arguments[i]));
            }
        }
        int[] extents = {grid.x(), grid.y(), grid.z(), grid.threads(), 1, 1, grid.sharedBytes()};
        MemorySegment.copy(extents, 0, config, JAVA_INT, 0, extents.length);
        config.set(JAVA_LONG, STREAM, stream);
        config.set(JAVA_INT, ATTRIBUTE_COUNT, kernel.follows() ? 1 : 0);
        try {
            return (int) LAUNCH.invokeExact(config, kernel.handle(), pointers, MemorySegment.NULL);
        } catch (Throwable e) {
            throw new IllegalStateException(e);
        }
    }

    /// Blocks, threads of each, and its dynamic shared memory in bytes.
    record Grid(int x, int y, int z, int threads, int sharedBytes) {
        static Grid of(int blocks, int threads) {
            return new Grid(blocks, 1, 1, threads, 0);
        }
    }
}
