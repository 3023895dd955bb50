package io.penstock.shard.backend.cuda.ptx;

import java.lang.foreign.MemorySegment;
import java.lang.foreign.ValueLayout;
import java.util.HashMap;
import java.util.Map;
import java.util.concurrent.ConcurrentHashMap;

/// A module's kernels, to be run on the CPU. For one thread at a time.
public final class Interpreter {
    private static final Map<String, PtxModule> MODULES = new ConcurrentHashMap<>();

    private final DeviceSpace space;
    private final PtxModule module;
    private final Map<String, Long> globals = new HashMap<>();
    private final Map<String, Program> programs = new HashMap<>();

    /// What a launch took.
    ///
    /// @param instructions of warps
    /// @param executed the same of threads
    public record Count(long instructions, long executed) {}

    public Interpreter(DeviceSpace space, String ptx) {
        this.space = space;
        // The same few modules are met again and again, and the largest takes a second.
        module = MODULES.computeIfAbsent(ptx, PtxModule::new);
    }

    /// Names of all kernels.
    public java.util.List<String> kernels() {
        return module.functions().values().stream()
                .filter(PtxModule.Function::entry)
                .map(PtxModule.Function::name)
                .toList();
    }

    /// Makes a kernel ready.
    ///
    /// @throws PtxFault where it has what this interpreter does not know, naming the line
    public void prepare(String kernel) {
        programs.computeIfAbsent(kernel, name -> new Translator(module, space, globals).translate(name));
    }

    /// @param grid blocks by x, y and z
    /// @param resident blocks that run at a time
    /// @param seed of the order in which things happen
    /// @param arguments `Integer`, `Long`, `Float`, or a `MemorySegment` for a struct
    /// @throws PtxFault naming kernel, line, block and threads
    public Count launch(
            String kernel, int[] grid, int threads, int dynamicShared, int resident, long seed, Object... arguments) {
        prepare(kernel);
        Program program = programs.get(kernel);
        int[] offsets = program.parameterOffsets();
        int[] sizes = program.parameterSizes();
        if (arguments.length != offsets.length) {
            throw new PtxFault("%s: %d arguments for %d parameters", kernel, arguments.length, offsets.length);
        }
        MemorySegment parameters = space.allocate(Math.max(1, program.parameterBytes()));
        for (int i = 0; i < offsets.length; i++) {
            long bytes = switch (arguments[i]) {
                case Integer value -> {
                    parameters.set(ValueLayout.JAVA_INT, offsets[i], value);
                    yield 4;
                }
                case Long value -> {
                    parameters.set(ValueLayout.JAVA_LONG, offsets[i], value);
                    yield 8;
                }
                case Float value -> {
                    parameters.set(ValueLayout.JAVA_FLOAT, offsets[i], value);
                    yield 4;
                }
                case MemorySegment value -> {
                    MemorySegment.copy(value, 0, parameters, offsets[i], sizes[i]);
                    yield sizes[i];
                }
                default -> throw new PtxFault("argument %d is %s", i, arguments[i]);
            };
            if (bytes != sizes[i]) {
                throw new PtxFault("%s: argument %d has %d bytes of %d", kernel, i, bytes, sizes[i]);
            }
        }
        try {
            Launch launch = new Launch(space, program, grid, threads, dynamicShared, parameters.address(), seed);
            launch.run(resident);
            return new Count(launch.instructions, launch.executed);
        } finally {
            space.free(parameters.address());
        }
    }
}
