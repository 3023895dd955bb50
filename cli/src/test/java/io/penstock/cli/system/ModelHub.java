package io.penstock.cli.system;

import com.sun.net.httpserver.HttpExchange;
import com.sun.net.httpserver.HttpServer;
import java.io.IOException;
import java.io.InputStream;
import java.io.OutputStream;
import java.io.RandomAccessFile;
import java.net.InetAddress;
import java.net.InetSocketAddress;
import java.net.URI;
import java.nio.channels.Channels;
import java.nio.charset.StandardCharsets;
import java.nio.file.Files;
import java.nio.file.Path;
import java.util.concurrent.ExecutorService;
import java.util.concurrent.Executors;
import java.util.concurrent.atomic.AtomicLong;
import java.util.regex.Matcher;
import java.util.regex.Pattern;

/// A hub's mirror with one repository of one large file, as Hugging Face's API shows it: a branch's
/// commit, the commit's files with their SHA-256, ranges of them.
final class ModelHub implements AutoCloseable {
    private static final String COMMIT = "89abcdef0123456789abcdef0123456789abcdef";
    private static final Pattern RANGE = Pattern.compile("bytes=(\\d+)-(\\d+)");

    private final HttpServer server;
    private final ExecutorService threads = Executors.newVirtualThreadPerTaskExecutor();
    private final String repository;
    private final String name;
    private final Path file;
    private final String sha256;
    private final AtomicLong sent = new AtomicLong();

    /// @param sha256 that it claims the file has
    ModelHub(String repository, String name, Path file, String sha256) throws IOException {
        this.repository = repository;
        this.name = name;
        this.file = file;
        this.sha256 = sha256;
        server = HttpServer.create(new InetSocketAddress(InetAddress.getLoopbackAddress(), 0), 0);
        server.setExecutor(threads);
        server.createContext("/", this::handle);
        server.start();
    }

    URI endpoint() {
        return URI.create("http://127.0.0.1:" + server.getAddress().getPort());
    }

    /// Bytes of the file that were asked for.
    long sent() {
        return sent.get();
    }

    private void handle(HttpExchange exchange) throws IOException {
        try (exchange) {
            String path = exchange.getRequestURI().getPath();
            if (path.equals("/api/models/" + repository + "/revision/main")) {
                answer(exchange, "{\"id\": \"%s\", \"sha\": \"%s\"}".formatted(repository, COMMIT));
            } else if (path.equals("/api/models/" + repository + "/tree/" + COMMIT)) {
                answer(exchange, """
                        [{"type": "file", "path": "README.md", "size": 3, "oid": "%s"},
                         {"type": "file", "path": "%s", "size": 134, "oid": "%s",
                          "lfs": {"oid": "%s", "size": %d, "pointerSize": 134}}]
                        """.formatted("1".repeat(40), name, "2".repeat(40), sha256, Files.size(file)));
            } else if (path.equals("/" + repository + "/resolve/" + COMMIT + "/" + name)) {
                send(exchange);
            } else {
                exchange.sendResponseHeaders(404, -1);
            }
        }
    }

    private static void answer(HttpExchange exchange, String json) throws IOException {
        byte[] body = json.getBytes(StandardCharsets.UTF_8);
        exchange.getResponseHeaders().set("content-type", "application/json");
        exchange.sendResponseHeaders(200, body.length);
        exchange.getResponseBody().write(body);
    }

    private void send(HttpExchange exchange) throws IOException {
        long size = Files.size(file);
        if (exchange.getRequestMethod().equals("HEAD")) {
            exchange.getResponseHeaders().set("content-length", String.valueOf(size));
            exchange.sendResponseHeaders(200, -1);
            return;
        }
        Matcher range = RANGE.matcher(exchange.getRequestHeaders().getFirst("range"));
        if (!range.matches()) {
            exchange.sendResponseHeaders(416, -1);
            return;
        }
        long first = Long.parseLong(range.group(1));
        long length = Math.min(size - 1, Long.parseLong(range.group(2))) - first + 1;
        exchange.getResponseHeaders().set("content-range", "bytes %d-%d/%d".formatted(first, first + length - 1, size));
        exchange.sendResponseHeaders(206, length);
        sent.addAndGet(length);
        try (RandomAccessFile source = new RandomAccessFile(file.toFile(), "r");
                InputStream bytes = Channels.newInputStream(source.getChannel().position(first));
                OutputStream out = exchange.getResponseBody()) {
            byte[] piece = new byte[1 << 16];
            for (long left = length; left > 0; ) {
                int count = bytes.read(piece, 0, (int) Math.min(piece.length, left));
                out.write(piece, 0, count);
                left -= count;
            }
        }
    }

    @Override
    public void close() {
        server.stop(0);
        threads.close();
    }
}
