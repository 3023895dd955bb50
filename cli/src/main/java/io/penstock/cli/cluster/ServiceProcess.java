package io.penstock.cli.cluster;

import io.penstock.cli.CommandFailure;
import java.io.IOException;
import java.io.UncheckedIOException;
import java.net.URI;
import java.net.http.HttpClient;
import java.net.http.HttpRequest;
import java.net.http.HttpResponse;
import java.nio.file.Files;
import java.nio.file.Path;
import java.time.Duration;
import java.util.ArrayList;
import java.util.LinkedHashMap;
import java.util.List;
import java.util.Map;
import java.util.concurrent.TimeUnit;

/// One service as a real process: started, watched, stopped, started again. Used by one thread.
public final class ServiceProcess {
    private static final HttpClient HTTP = HttpClient.newBuilder()
            .version(HttpClient.Version.HTTP_1_1)
            .connectTimeout(Duration.ofSeconds(1))
            .build();
    private static final Duration KILL_PATIENCE = Duration.ofSeconds(5);

    private final String name;
    private final List<String> command;
    private final List<String> arguments = new ArrayList<>();
    private final AotCache aot;
    private final boolean record;
    private boolean recording;
    private final Path log;
    private final int httpPort;
    private Process process;

    /// @param jar the service's quarkus-run.jar
    /// @param log its output, appended to
    /// @param properties system properties of its JVM
    /// @param record whether to record a cache for later starts, where there is none
    ServiceProcess(
            String name,
            Path jar,
            Path log,
            int httpPort,
            List<String> jvmFlags,
            Map<String, String> properties,
            boolean record) {
        this.name = name;
        this.log = log;
        this.httpPort = httpPort;
        Map<String, String> all = new LinkedHashMap<>(properties);
        all.put("quarkus.http.host", "127.0.0.1");
        all.put("quarkus.http.port", String.valueOf(httpPort));
        all.put("quarkus.banner.enabled", "false");
        command = new ArrayList<>();
        command.addAll(Leash.prefix());
        command.add(Path.of(System.getProperty("java.home"), "bin", "java").toString());
        // Netty's and protobuf's own habits, announced by the JVM at each start.
        command.add("--sun-misc-unsafe-memory-access=allow");
        command.addAll(jvmFlags);
        all.forEach((key, value) -> arguments.add("-D" + key + "=" + value));
        arguments.add("-jar");
        arguments.add(jar.toString());
        if (!Files.isRegularFile(jar)) {
            throw new CommandFailure("%s is not built: %s is missing", name, jar);
        }
        aot = AotCache.of(jar, jvmFlags);
        this.record = record;
    }

    public String name() {
        return name;
    }

    public Path log() {
        return log;
    }

    public URI http() {
        return URI.create("http://127.0.0.1:" + httpPort);
    }

    public long pid() {
        return process.pid();
    }

    public void start() {
        List<String> line = new ArrayList<>(command);
        recording = record && !aot.recorded();
        if (recording) {
            line.addAll(aot.record());
        } else if (aot.recorded()) {
            line.addAll(aot.use());
        }
        line.addAll(arguments);
        try {
            process = new ProcessBuilder(line)
                    .redirectErrorStream(true)
                    .redirectOutput(ProcessBuilder.Redirect.appendTo(log.toFile()))
                    .redirectInput(
                            ProcessBuilder.Redirect.from(Path.of("/dev/null").toFile()))
                    .start();
        } catch (IOException e) {
            throw new UncheckedIOException(name + " could not be started", e);
        }
    }

    public boolean alive() {
        return process != null && process.isAlive();
    }

    /// @return the exit code of a process that has ended; 128 + signal for one that was killed
    public int exitCode() {
        return process.exitValue();
    }

    /// Whether the service says that it can do its work.
    public boolean ready() {
        if (!alive()) {
            return false;
        }
        HttpRequest request = HttpRequest.newBuilder(http().resolve("/q/health/ready"))
                .timeout(Duration.ofSeconds(2))
                .build();
        try {
            return HTTP.send(request, HttpResponse.BodyHandlers.discarding()).statusCode() == 200;
        } catch (IOException notListeningYet) {
            return false;
        } catch (InterruptedException e) {
            Thread.currentThread().interrupt();
            return false;
        }
    }

    /// SIGTERM. Does not wait.
    public void terminate() {
        if (alive()) {
            process.destroy();
        }
    }

    /// SIGKILL, as a crash would be. Returns when the process is gone.
    public void kill() {
        process.destroyForcibly();
        join(KILL_PATIENCE);
    }

    /// Waits for a process that was told to stop, and kills it when it has not by then.
    ///
    /// @param deadline on the monotonic clock, nanoseconds
    void join(long deadline) {
        if (process == null) {
            return;
        }
        if (!join(Duration.ofNanos(Math.max(0, deadline - System.nanoTime())))) {
            kill();
        }
        if (recording) {
            aot.settle(!process.isAlive() && process.exitValue() == 0);
            recording = false;
        }
    }

    private boolean join(Duration patience) {
        try {
            return process.waitFor(patience.toMillis(), TimeUnit.MILLISECONDS);
        } catch (InterruptedException e) {
            Thread.currentThread().interrupt();
            return false;
        }
    }
}
