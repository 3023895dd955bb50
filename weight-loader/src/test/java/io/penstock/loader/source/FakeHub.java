package io.penstock.loader.source;

import io.vertx.core.Vertx;
import io.vertx.core.VertxOptions;
import io.vertx.core.buffer.Buffer;
import io.vertx.core.http.HttpServer;
import io.vertx.core.http.HttpServerRequest;
import io.vertx.core.http.HttpServerResponse;
import io.vertx.core.json.JsonArray;
import io.vertx.core.json.JsonObject;
import java.net.URI;
import java.net.URLDecoder;
import java.nio.charset.StandardCharsets;
import java.security.MessageDigest;
import java.security.NoSuchAlgorithmException;
import java.util.Arrays;
import java.util.HexFormat;
import java.util.List;
import java.util.Map;
import java.util.concurrent.ConcurrentSkipListMap;
import java.util.concurrent.CopyOnWriteArrayList;
import java.util.concurrent.TimeUnit;
import java.util.regex.Matcher;
import java.util.regex.Pattern;

/// A model hub with one repository at one commit. Its large files are redirected to another host name,
/// as the real one sends them to its content network.
public final class FakeHub implements AutoCloseable {
    public static final String COMMIT = "0123456789abcdef0123456789abcdef01234567";
    public static final String REPOSITORY = "org/model";

    private final Vertx vertx =
            Vertx.vertx(new VertxOptions().setUseDaemonThread(true).setEventLoopPoolSize(1));
    private final HttpServer server;
    private final Map<String, byte[]> files = new ConcurrentSkipListMap<>();
    private final String token;
    private volatile String redirectTo;

    /// What the content network was asked with a token.
    final List<String> leaked = new CopyOnWriteArrayList<>();

    /// What the content network was asked.
    final List<String> atNetwork = new CopyOnWriteArrayList<>();

    /// @param token that the hub demands
    /// @param files by name; those named `*.bin` are large ones
    public FakeHub(String token, Map<String, byte[]> files) {
        this.token = token;
        this.files.putAll(files);
        server = vertx.createHttpServer().requestHandler(this::handle);
        server.listen(0, "127.0.0.1").toCompletionStage().toCompletableFuture().join();
        redirectTo = "http://localhost:" + server.actualPort();
    }

    public URI endpoint() {
        return URI.create("http://127.0.0.1:" + server.actualPort());
    }

    /// Replaces all files.
    void hold(Map<String, byte[]> others) {
        files.clear();
        files.putAll(others);
    }

    /// @param target scheme, host and port that large files are sent to
    void redirectTo(String target) {
        redirectTo = target;
    }

    private void handle(HttpServerRequest request) {
        HttpServerResponse response = request.response();
        String path = request.path();
        if (path.startsWith("/cdn/")) {
            atNetwork.add(path);
            if (request.getHeader("authorization") != null) {
                leaked.add(path);
            }
            send(request, file(path.substring(5)));
        } else if (!("Bearer " + token).equals(request.getHeader("authorization"))) {
            response.setStatusCode(401).end();
        } else if (path.equals("/api/models/org/model/revision/main")
                || path.equals("/api/models/org/model/revision/" + COMMIT)) {
            response.end(new JsonObject().put("sha", COMMIT).encode());
        } else if (path.equals("/api/models/org/model/tree/" + COMMIT)) {
            page(request);
        } else if (path.startsWith("/org/model/resolve/" + COMMIT + "/")) {
            String name = path.substring(("/org/model/resolve/" + COMMIT + "/").length());
            if (name.endsWith(".bin")) {
                response.setStatusCode(302)
                        .putHeader("location", redirectTo + "/cdn/" + name)
                        .end();
            } else {
                send(request, file(name));
            }
        } else {
            response.setStatusCode(404).end();
        }
    }

    private byte[] file(String encoded) {
        return files.get(URLDecoder.decode(encoded, StandardCharsets.UTF_8));
    }

    /// Two entries a page.
    private void page(HttpServerRequest request) {
        int from = request.getParam("cursor") == null ? 0 : Integer.parseInt(request.getParam("cursor"));
        JsonArray entries =
                new JsonArray().add(new JsonObject().put("type", "directory").put("path", "sub"));
        files.entrySet().stream()
                .skip(from)
                .limit(2)
                .forEach(file -> entries.add(entry(file.getKey(), file.getValue())));
        if (from + 2 < files.size()) {
            // As a mirror's links do that are still the hub's own.
            String next = "http://hub.example" + request.path() + "?recursive=true&cursor=" + (from + 2);
            request.response().putHeader("link", "<" + next + ">; rel=\"next\"");
        }
        request.response().end(entries.encode());
    }

    private static JsonObject entry(String name, byte[] content) {
        JsonObject entry = new JsonObject()
                .put("type", "file")
                .put("path", name)
                .put("size", content.length)
                .put("oid", digest("SHA-1", "blob " + content.length + "\0", content));
        return name.endsWith(".bin")
                ? entry.put(
                        "lfs",
                        new JsonObject()
                                .put("oid", digest("SHA-256", "", content))
                                .put("size", content.length))
                : entry;
    }

    private static String digest(String algorithm, String before, byte[] content) {
        try {
            MessageDigest digest = MessageDigest.getInstance(algorithm);
            digest.update(before.getBytes(StandardCharsets.UTF_8));
            return HexFormat.of().formatHex(digest.digest(content));
        } catch (NoSuchAlgorithmException e) {
            throw new IllegalStateException(e);
        }
    }

    private static void send(HttpServerRequest request, byte[] content) {
        HttpServerResponse response = request.response();
        Matcher range = Pattern.compile("bytes=(\\d+)-(\\d+)").matcher(String.valueOf(request.getHeader("range")));
        if (!range.matches()) {
            response.end(Buffer.buffer(content));
            return;
        }
        int from = Integer.parseInt(range.group(1));
        int to = Integer.parseInt(range.group(2));
        response.setStatusCode(206)
                .putHeader("content-range", "bytes " + from + "-" + to + "/" + content.length)
                .end(Buffer.buffer(Arrays.copyOfRange(content, from, to + 1)));
    }

    @Override
    public void close() {
        vertx.close()
                .toCompletionStage()
                .toCompletableFuture()
                .orTimeout(10, TimeUnit.SECONDS)
                .join();
    }
}
