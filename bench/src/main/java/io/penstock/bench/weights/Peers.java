package io.penstock.bench.weights;

import java.io.IOException;
import java.net.URI;
import java.nio.charset.StandardCharsets;
import java.nio.file.Files;
import java.nio.file.Path;
import java.util.ArrayList;
import java.util.List;
import java.util.concurrent.TimeUnit;

/// What the loader is compared with: each downloads the object to a new file, in a process of its own
/// whose CPU time the shell tells.
record Peers(Path folder, long size) {
    private static final long PATIENCE_MINUTES = 10;

    /// @param connections both `-x` (to one server) and `-s` (pieces of the file), at most 16
    Run aria2(URI object, int connections) {
        return timed(
                "aria2c -x" + connections + " -s" + connections,
                List.of(
                        "aria2c",
                        "--quiet",
                        "--allow-overwrite=true",
                        "--file-allocation=none",
                        "--min-split-size=1M",
                        "-x" + connections,
                        "-s" + connections,
                        "--dir=" + folder,
                        "--out=aria2",
                        object.toString()),
                folder.resolve("aria2"));
    }

    /// OCI's own client for large objects, at most so many parts at once.
    Run sdk(URI endpoint, Path config, String bucket, String object, int parallel) {
        List<String> command = new ArrayList<>(List.of(
                Path.of(System.getProperty("java.home"), "bin", "java").toString(),
                "--sun-misc-unsafe-memory-access=allow",
                "-cp",
                System.getProperty("java.class.path"),
                SdkDownload.class.getName()));
        command.addAll(List.of(
                endpoint.toString(),
                config.toString(),
                bucket,
                object,
                folder.resolve("sdk").toString(),
                String.valueOf(parallel)));
        return timed("OCI SDK, " + parallel + " parts", command, folder.resolve("sdk"));
    }

    private Run timed(String name, List<String> command, Path file) {
        try {
            Path log = folder.resolve("peer.log");
            List<String> shell = new ArrayList<>(
                    List.of("bash", "-c", "TIMEFORMAT='%R %U %S'; time \"$@\" > \"$0\" 2>&1", log.toString()));
            shell.addAll(command);
            Process process = new ProcessBuilder(shell).start();
            String told = new String(process.getErrorStream().readAllBytes(), StandardCharsets.UTF_8);
            if (!process.waitFor(PATIENCE_MINUTES, TimeUnit.MINUTES) || process.exitValue() != 0) {
                throw new IllegalStateException(name + " has failed: " + told + Files.readString(log));
            }
            if (Files.size(file) != size) {
                throw new IllegalStateException(name + " left " + Files.size(file) + " bytes of " + size);
            }
            Files.delete(file);
            String[] times = told.strip().split(" ");
            double cpu = Double.parseDouble(times[1]) + Double.parseDouble(times[2]);
            return new Run(name, size, Double.parseDouble(times[0]), cpu, 0, 0);
        } catch (IOException e) {
            throw new IllegalStateException(name + ": " + e.getMessage(), e);
        } catch (InterruptedException e) {
            Thread.currentThread().interrupt();
            throw new IllegalStateException("interrupted", e);
        }
    }
}
