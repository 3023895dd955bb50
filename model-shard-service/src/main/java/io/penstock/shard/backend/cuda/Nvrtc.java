package io.penstock.shard.backend.cuda;

import static java.lang.foreign.ValueLayout.ADDRESS;
import static java.lang.foreign.ValueLayout.JAVA_BYTE;
import static java.lang.foreign.ValueLayout.JAVA_INT;
import static java.lang.foreign.ValueLayout.JAVA_LONG;

import io.penstock.model.ErrorCategory;
import io.penstock.model.PenstockException;
import java.io.IOException;
import java.io.UncheckedIOException;
import java.lang.foreign.Arena;
import java.lang.foreign.MemorySegment;
import java.lang.invoke.MethodHandle;
import java.nio.charset.StandardCharsets;
import java.nio.file.Files;
import java.nio.file.Path;
import java.nio.file.StandardCopyOption;
import java.security.MessageDigest;
import java.security.NoSuchAlgorithmException;
import java.util.HashSet;
import java.util.HexFormat;
import java.util.List;
import java.util.Set;
import java.util.function.Function;
import java.util.regex.Matcher;
import java.util.regex.Pattern;

/// Compiles kernels at start, where the build had no nvcc or the device is newer than it: NVRTC of
/// whichever CUDA is installed. Results are kept in `$PENSTOCK_CACHE/cubins`, named by what they were
/// made from.
final class Nvrtc {
    private static final Pattern INCLUDE = Pattern.compile("^#include \"([a-zA-Z0-9_.]+)\"$", Pattern.MULTILINE);

    private Nvrtc() {}

    /// @param file name of the source
    /// @param sources content of a source by its name
    /// @param capability as [CudaDevice#computeCapability()]
    /// @return machine code
    /// @throws PenstockException if there is no NVRTC, or the source does not compile
    static byte[] compile(String file, Function<String, String> sources, int capability) {
        String source = inline(file, sources);
        List<String> options = List.of("-arch=sm_" + capability + (capability == 90 ? "a" : ""), "-std=c++17");
        Path cached = cacheFolder().resolve(digest(source + options) + ".cubin");
        try {
            if (Files.isReadable(cached)) {
                return Files.readAllBytes(cached);
            }
            byte[] image = Library.compile(file, source, options);
            Files.createDirectories(cached.getParent());
            Path fresh = Files.createTempFile(cached.getParent(), "new", ".cubin");
            Files.write(fresh, image);
            Files.move(fresh, cached, StandardCopyOption.ATOMIC_MOVE);
            return image;
        } catch (IOException e) {
            throw new UncheckedIOException("the cache of compiled kernels " + cached.getParent(), e);
        }
    }

    /// NVRTC sees one text: the first include of each of our own files is put in its place.
    static String inline(String file, Function<String, String> sources) {
        return inline(file, sources, new HashSet<>());
    }

    private static String inline(String file, Function<String, String> sources, Set<String> included) {
        if (!included.add(file)) {
            return "";
        }
        Matcher includes = INCLUDE.matcher(sources.apply(file));
        return includes.replaceAll(match -> Matcher.quoteReplacement(inline(match.group(1), sources, included)));
    }

    private static Path cacheFolder() {
        String root = System.getenv("PENSTOCK_CACHE");
        return (root != null ? Path.of(root) : Path.of(System.getProperty("user.home"), ".cache", "penstock"))
                .resolve("cubins");
    }

    private static String digest(String text) {
        try {
            byte[] hash = MessageDigest.getInstance("SHA-256").digest(text.getBytes(StandardCharsets.UTF_8));
            return HexFormat.of().formatHex(hash, 0, 16);
        } catch (NoSuchAlgorithmException e) {
            throw new IllegalStateException(e);
        }
    }

    /// Looked up at first use: most machines never need it.
    private static final class Library {
        private static final NativeLibrary LIBRARY = NativeLibrary.find("libnvrtc.so.13", "libnvrtc.so.12");
        private static final MethodHandle CREATE =
                LIBRARY.function("nvrtcCreateProgram", JAVA_INT, ADDRESS, ADDRESS, ADDRESS, JAVA_INT, ADDRESS, ADDRESS);
        private static final MethodHandle COMPILE =
                LIBRARY.function("nvrtcCompileProgram", JAVA_INT, JAVA_LONG, JAVA_INT, ADDRESS);
        private static final MethodHandle LOG_SIZE =
                LIBRARY.function("nvrtcGetProgramLogSize", JAVA_INT, JAVA_LONG, ADDRESS);
        private static final MethodHandle LOG = LIBRARY.function("nvrtcGetProgramLog", JAVA_INT, JAVA_LONG, ADDRESS);
        private static final MethodHandle SIZE = LIBRARY.function("nvrtcGetCUBINSize", JAVA_INT, JAVA_LONG, ADDRESS);
        private static final MethodHandle CUBIN = LIBRARY.function("nvrtcGetCUBIN", JAVA_INT, JAVA_LONG, ADDRESS);
        private static final MethodHandle DESTROY = LIBRARY.function("nvrtcDestroyProgram", JAVA_INT, ADDRESS);

        static byte[] compile(String file, String source, List<String> options) {
            try (Arena arena = Arena.ofConfined()) {
                MemorySegment program = arena.allocate(JAVA_LONG);
                check("nvrtcCreateProgram", (int) CREATE.invokeExact(
                        program,
                        arena.allocateFrom(source),
                        arena.allocateFrom(file),
                        0,
                        MemorySegment.NULL,
                        MemorySegment.NULL));
                long handle = program.get(JAVA_LONG, 0);
                try {
                    MemorySegment list = arena.allocate(ADDRESS, options.size());
                    for (int i = 0; i < options.size(); i++) {
                        list.setAtIndex(ADDRESS, i, arena.allocateFrom(options.get(i)));
                    }
                    int status = (int) COMPILE.invokeExact(handle, options.size(), list);
                    if (status != 0) {
                        throw new PenstockException(
                                ErrorCategory.INTERNAL,
                                "%s does not compile with %s %s: %s",
                                file,
                                LIBRARY.name(),
                                options,
                                new String(bytes(arena, handle, LOG_SIZE, LOG), StandardCharsets.UTF_8));
                    }
                    return bytes(arena, handle, SIZE, CUBIN);
                } finally {
                    check("nvrtcDestroyProgram", (int) DESTROY.invokeExact(program));
                }
            } catch (RuntimeException | Error e) {
                throw e;
            } catch (Throwable e) {
                throw new IllegalStateException(e);
            }
        }

        private static byte[] bytes(Arena arena, long handle, MethodHandle size, MethodHandle content)
                throws Throwable {
            MemorySegment length = arena.allocate(JAVA_LONG);
            check("nvrtc", (int) size.invokeExact(handle, length));
            MemorySegment out = arena.allocate(Math.max(1, length.get(JAVA_LONG, 0)));
            check("nvrtc", (int) content.invokeExact(handle, out));
            return out.toArray(JAVA_BYTE);
        }

        private static void check(String what, int status) {
            if (status != 0) {
                throw new CudaException(status, "%s of %s failed: %d", what, LIBRARY.name(), status);
            }
        }
    }
}
