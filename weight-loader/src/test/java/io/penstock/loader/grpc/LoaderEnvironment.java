package io.penstock.loader.grpc;

import io.penstock.emulator.AccessKey;
import io.penstock.emulator.Credentials;
import io.penstock.emulator.Emulator;
import io.penstock.loader.source.FakeHub;
import io.quarkus.test.common.QuarkusTestResourceLifecycleManager;
import java.io.IOException;
import java.io.UncheckedIOException;
import java.net.ServerSocket;
import java.nio.charset.StandardCharsets;
import java.nio.file.Files;
import java.nio.file.Path;
import java.util.Comparator;
import java.util.HashMap;
import java.util.List;
import java.util.Map;
import java.util.Random;
import java.util.stream.Stream;

/// What the service under test is configured with: a bucket, a hub and a folder that hold a model each.
public final class LoaderEnvironment implements QuarkusTestResourceLifecycleManager {
    static final int SIZE = 5_000_000;

    private Path folder;
    private Emulator emulator;
    private FakeHub hub;

    /// @return the bytes of `model.bin` in all of them
    static byte[] content() {
        byte[] content = new byte[SIZE];
        new Random(1).nextBytes(content);
        return content;
    }

    @Override
    public Map<String, String> start() {
        try {
            folder = Files.createTempDirectory("loader");
            Path model = Files.createDirectories(folder.resolve("local")).resolve("model.bin");
            Files.write(model, content());
            emulator = Emulator.start(folder.resolve("buckets"), 0);
            emulator.createBucket("models");
            emulator.putFile("models", "test/model.bin", model);
            emulator.putFile("models", "test/sub/config.json", Files.writeString(folder.resolve("config"), "{}"));
            Credentials credentials = Credentials.generate();
            emulator.register(credentials);
            Path config = credentials.writeConfigFile(folder.resolve("oci"), "x");
            hub = new FakeHub(
                    "secret", Map.of("model.bin", content(), "config.json", "{}".getBytes(StandardCharsets.UTF_8)));
            Map<String, String> settings = new HashMap<>();
            settings.put("quarkus.http.test-port", "0");
            settings.put("quarkus.grpc.server.test-port", String.valueOf(freePort()));
            settings.put("penstock.loader.cache", folder.resolve("cache").toString());
            settings.put(
                    "penstock.loader.durable.folder", folder.resolve("durable").toString());
            settings.put("penstock.loader.models.\"oci/test\".source", "oci://penstock/models/test");
            settings.put("penstock.loader.models.\"hub\".source", "hf://" + FakeHub.REPOSITORY + "@main");
            settings.put("penstock.loader.models.\"local\".source", "file://" + model.getParent());
            settings.put("penstock.loader.oci.endpoint", emulator.endpoint().toString());
            settings.put("penstock.loader.oci.config-file", config.toString());
            settings.put("penstock.loader.push.folder", model.getParent().toString());
            settings.put("penstock.loader.models.\"pushed\".source", "oci://penstock/models/pushed");
            AccessKey key = AccessKey.generate();
            emulator.register(key);
            settings.put("penstock.loader.models.\"pushed-by-s3\".source", "s3://models/by-s3");
            settings.put("penstock.loader.s3.endpoint", emulator.endpoint().toString());
            settings.put("penstock.loader.s3.access-key", key.id());
            settings.put("penstock.loader.s3.secret-key", key.secret());
            settings.put("penstock.loader.hf.endpoint", hub.endpoint().toString());
            settings.put("penstock.loader.hf.token", "secret");
            // The hub's content network is on this machine, under another name.
            settings.put("penstock.loader.private-redirects", "true");
            return settings;
        } catch (IOException e) {
            throw new UncheckedIOException(e);
        }
    }

    private static int freePort() throws IOException {
        try (ServerSocket socket = new ServerSocket(0)) {
            return socket.getLocalPort();
        }
    }

    @Override
    public void stop() {
        emulator.close();
        hub.close();
        try (Stream<Path> paths = Files.walk(folder)) {
            List<Path> deepestFirst = paths.sorted(Comparator.reverseOrder()).toList();
            for (Path path : deepestFirst) {
                Files.delete(path);
            }
        } catch (IOException e) {
            throw new UncheckedIOException(e);
        }
    }
}
