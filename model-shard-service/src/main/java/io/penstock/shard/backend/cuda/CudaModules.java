package io.penstock.shard.backend.cuda;

import java.io.IOException;
import java.io.InputStream;
import java.io.UncheckedIOException;
import java.util.ArrayList;
import java.util.HashMap;
import java.util.List;
import java.util.Map;
import java.util.TreeMap;
import java.util.function.Function;

/// The kernels of `src/main/cuda`, loaded for one device: machine code that was built for its
/// architecture, else PTX that the driver compiles (and caches), else the sources through [Nvrtc]. What
/// was chosen is for the log.
final class CudaModules implements AutoCloseable {
    private static final String FOLDER = "/cuda/";
    // Machine code of sm_80 runs on 8.x; sm_90a's runs on 9.0 alone.
    private static final Map<Integer, String> BINARIES =
            new TreeMap<>(Map.of(80, "sm_80", 86, "sm_80", 89, "sm_80", 90, "sm_90a"));

    // `griddepcontrol`.
    private static final int WAITS_FROM = 90;

    private final CudaDevice device;
    private final Function<String, byte[]> images;
    private final Map<String, Loaded> modules = new HashMap<>();
    private final List<String> origins = new ArrayList<>();

    CudaModules(CudaDevice device) {
        this(device, CudaModules::resource);
    }

    /// @param images machine code, PTX and sources by their names, null for what there is not
    CudaModules(CudaDevice device, Function<String, byte[]> images) {
        this.device = device;
        this.images = images;
    }

    CudaDevice device() {
        return device;
    }

    /// @param source name of the `.cu` file, without its extension
    /// @param function as its `extern "C"` name
    /// @param sharedBytes dynamic shared memory it will be launched with; more than 48 KiB must be
    ///     asked for here
    Kernel kernel(String source, String function, int sharedBytes) {
        return kernel(module(source).module, function, sharedBytes, false);
    }

    /// A kernel whose first deed is `dependencyWait`: on devices that know that, it may begin before the one
    /// ahead of it has ended.
    Kernel following(String source, String function, int sharedBytes) {
        Loaded loaded = module(source);
        return kernel(loaded.module, function, sharedBytes, loaded.waits);
    }

    Kernel following(String source, String function) {
        return following(source, function, 0);
    }

    private Kernel kernel(long module, String function, int sharedBytes, boolean follows) {
        return new Kernel(function, device.function(module, function, sharedBytes), follows);
    }

    Kernel kernel(String source, String function) {
        return kernel(source, function, 0);
    }

    /// For people: "attention.sm_90a.cubin", one a source.
    List<String> origins() {
        return origins;
    }

    /// @param waits whether it is compiled for devices where a kernel can wait for the one ahead of it
    private record Loaded(long module, boolean waits) {}

    private Loaded module(String source) {
        Loaded loaded = modules.get(source);
        if (loaded != null) {
            return loaded;
        }
        String binary = BINARIES.get(device.computeCapability());
        String origin = source + "." + binary + ".cubin";
        byte[] image = binary == null ? null : images.apply(origin);
        boolean waits = device.computeCapability() >= WAITS_FROM;
        if (image == null) {
            origin = source + ".compute_80.ptx";
            image = images.apply(origin);
            waits &= image == null;
        }
        if (image == null) {
            origin = source + ".cu";
            image = Nvrtc.compile(origin, this::text, device.computeCapability());
        }
        loaded = new Loaded(device.loadModule(origin, image), waits);
        modules.put(source, loaded);
        origins.add(origin);
        return loaded;
    }

    private static byte[] resource(String name) {
        try (InputStream in = CudaModules.class.getResourceAsStream(FOLDER + name)) {
            return in == null ? null : in.readAllBytes();
        } catch (IOException e) {
            throw new UncheckedIOException(e);
        }
    }

    private String text(String name) {
        byte[] bytes = images.apply(name);
        if (bytes == null) {
            throw new IllegalStateException("the build packed no " + name);
        }
        return new String(bytes, java.nio.charset.StandardCharsets.UTF_8);
    }

    @Override
    public void close() {
        modules.values().forEach(loaded -> device.unloadModule(loaded.module));
    }
}
