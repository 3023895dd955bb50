package io.penstock.shard.backend.cuda;

import io.penstock.model.ErrorCategory;
import io.penstock.model.PenstockException;
import java.io.IOException;
import java.io.UncheckedIOException;
import java.lang.foreign.Arena;
import java.lang.foreign.FunctionDescriptor;
import java.lang.foreign.Linker;
import java.lang.foreign.MemoryLayout;
import java.lang.foreign.SymbolLookup;
import java.lang.invoke.MethodHandle;
import java.nio.file.Files;
import java.nio.file.Path;
import java.util.ArrayList;
import java.util.List;
import java.util.stream.Stream;

/// A shared library of CUDA, whichever major version is installed. Stays loaded for the life of the
/// process.
///
/// @param name the file that was found
record NativeLibrary(String name, SymbolLookup symbols) {

    /// Looks where the loader looks, then where CUDA's packages put things.
    ///
    /// @param names file names, the most wanted first
    /// @throws PenstockException (unavailable) naming what was looked for and where
    @SuppressWarnings("restricted") // reaching native code is what this class is for
    static NativeLibrary find(String... names) {
        List<Path> folders = folders();
        for (String name : names) {
            try {
                return new NativeLibrary(name, SymbolLookup.libraryLookup(name, Arena.global()));
            } catch (IllegalArgumentException notOnTheLoadersPath) {
                for (Path folder : folders) {
                    Path file = folder.resolve(name);
                    if (Files.isReadable(file)) {
                        return new NativeLibrary(file.toString(), SymbolLookup.libraryLookup(file, Arena.global()));
                    }
                }
            }
        }
        throw new PenstockException(
                ErrorCategory.UNAVAILABLE,
                "none of %s is on the library path, nor in %s",
                String.join(", ", names),
                folders);
    }

    private static List<Path> folders() {
        List<Path> folders = new ArrayList<>();
        String home = System.getenv("CUDA_HOME");
        if (home != null) {
            folders.add(Path.of(home, "lib64"));
        }
        Path local = Path.of("/usr/local");
        if (Files.isDirectory(local)) {
            try (Stream<Path> entries = Files.list(local)) {
                entries.filter(entry -> entry.getFileName().toString().startsWith("cuda"))
                        .sorted()
                        .forEach(entry -> {
                            folders.add(entry.resolve("targets/x86_64-linux/lib"));
                            folders.add(entry.resolve("lib64"));
                        });
            } catch (IOException e) {
                throw new UncheckedIOException(e);
            }
        }
        folders.add(Path.of("/usr/lib/x86_64-linux-gnu"));
        return folders;
    }

    /// @throws PenstockException (unavailable) if the library is too old to have it
    @SuppressWarnings("restricted")
    MethodHandle function(String symbol, MemoryLayout result, MemoryLayout... arguments) {
        return Linker.nativeLinker()
                .downcallHandle(
                        symbols.find(symbol)
                                .orElseThrow(() ->
                                        new PenstockException(ErrorCategory.UNAVAILABLE, "%s has no %s", name, symbol)),
                        FunctionDescriptor.of(result, arguments));
    }
}
