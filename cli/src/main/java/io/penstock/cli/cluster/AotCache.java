package io.penstock.cli.cluster;

import java.io.IOException;
import java.io.UncheckedIOException;
import java.nio.charset.StandardCharsets;
import java.nio.file.DirectoryStream;
import java.nio.file.Files;
import java.nio.file.Path;
import java.nio.file.StandardCopyOption;
import java.security.MessageDigest;
import java.security.NoSuchAlgorithmException;
import java.util.HexFormat;
import java.util.List;
import java.util.stream.Stream;

/// A service's loaded classes and method profiles as an earlier run left them, for the JVM to start
/// from (JEP 483, 514, 515). A JVM takes a cache only from the same build of itself with the same jars
/// and module flags, so these are part of the file's name.
///
/// @param file the cache; absent until a run has recorded it
record AotCache(Path file) {
    /// @param jar the service's quarkus-run.jar; the cache lies beside its folder, where `mvn clean`
    ///     removes it
    /// @param flags of the JVM
    static AotCache of(Path jar, List<String> flags) {
        Path application = jar.toAbsolutePath().getParent();
        try (Stream<Path> tree = Files.walk(application)) {
            MessageDigest key = MessageDigest.getInstance("SHA-256");
            add(key, System.getProperty("java.vm.version"));
            add(key, System.getProperty("java.home"));
            flags.forEach(flag -> add(key, flag));
            for (Path path : tree.filter(Files::isRegularFile).sorted().toList()) {
                add(key, path + " " + Files.size(path) + " " + Files.getLastModifiedTime(path));
            }
            String name = HexFormat.of().formatHex(key.digest(), 0, 8);
            return new AotCache(application.resolveSibling("aot").resolve(name + ".aot"));
        } catch (IOException e) {
            throw new UncheckedIOException("cannot read " + application, e);
        } catch (NoSuchAlgorithmException e) {
            throw new IllegalStateException("every JDK has SHA-256", e);
        }
    }

    private static void add(MessageDigest key, String part) {
        key.update(part.getBytes(StandardCharsets.UTF_8));
        key.update((byte) 0);
    }

    boolean recorded() {
        return Files.isRegularFile(file);
    }

    /// Flags of a run that uses the cache.
    List<String> use() {
        return List.of("-XX:AOTCache=" + file);
    }

    /// Flags of a run that records the cache when it ends in order.
    List<String> record() {
        try {
            Files.createDirectories(file.getParent());
            removeLeftovers();
        } catch (IOException e) {
            throw new UncheckedIOException("cannot make " + file.getParent(), e);
        }
        return List.of("-XX:AOTCacheOutput=" + part());
    }

    /// Keeps what a recording run left. A run that was killed may have left nothing, or half a file.
    ///
    /// @param inOrder whether the run ended with exit code 0
    void settle(boolean inOrder) {
        try {
            if (inOrder && Files.isRegularFile(part())) {
                Files.move(part(), file, StandardCopyOption.ATOMIC_MOVE);
            } else {
                Files.deleteIfExists(part());
            }
        } catch (IOException e) {
            throw new UncheckedIOException("cannot keep " + file, e);
        }
    }

    /// Those of recorders that were killed.
    private void removeLeftovers() throws IOException {
        try (DirectoryStream<Path> parts = Files.newDirectoryStream(file.getParent(), "*.part*")) {
            for (Path part : parts) {
                String pid = part.getFileName().toString().split("\\.", 4)[2];
                if (ProcessHandle.of(Long.parseLong(pid)).isEmpty()) {
                    Files.deleteIfExists(part);
                }
            }
        }
    }

    private Path part() {
        return file.resolveSibling(
                file.getFileName() + "." + ProcessHandle.current().pid() + ".part");
    }
}
