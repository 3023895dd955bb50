package io.penstock.loader.source;

import com.sun.net.httpserver.HttpExchange;
import com.sun.net.httpserver.HttpServer;
import java.io.IOException;
import java.net.InetAddress;
import java.net.InetSocketAddress;
import java.net.URI;
import java.nio.charset.StandardCharsets;
import java.util.Arrays;
import java.util.Map;
import java.util.TreeMap;
import java.util.concurrent.CountDownLatch;
import java.util.concurrent.ExecutorService;
import java.util.concurrent.Executors;
import java.util.concurrent.TimeUnit;
import java.util.concurrent.atomic.AtomicInteger;
import java.util.regex.Matcher;
import java.util.regex.Pattern;

/// One bucket by the API of S3, two names a page, or 20 where there are many; signatures are looked at, not verified (a
/// real server
/// does that in `tools/check_s3.sh`). Also a plain file server: its `/redirect/` sends on to wherever
/// it is told.
final class FakeStore implements AutoCloseable {
    private final Map<String, byte[]> objects = new TreeMap<>();
    private final HttpServer server;
    private final ExecutorService threads = Executors.newVirtualThreadPerTaskExecutor();
    private final int page;
    private volatile CountDownLatch gathering = new CountDownLatch(0);
    volatile String redirectTo = "/bucket/";
    volatile String key = "key";
    private final AtomicInteger busy = new AtomicInteger();
    /// Most requests that were answered at once.
    final AtomicInteger busiest = new AtomicInteger();
    volatile String etag = "\"one\"";

    FakeStore(Map<String, byte[]> objects) throws IOException {
        this.objects.putAll(objects);
        this.page = objects.size() > 20 ? 20 : 2;
        server = HttpServer.create(new InetSocketAddress(InetAddress.getLoopbackAddress(), 0), 0);
        server.createContext("/", this::handle);
        server.setExecutor(threads);
        server.start();
    }

    /// Lets the first HEADs wait until so many are there, so that a client that sends one at a time is found out.
    void gather(int count) {
        gathering = new CountDownLatch(count);
    }

    URI endpoint() {
        return URI.create("http://127.0.0.1:" + server.getAddress().getPort());
    }

    private void handle(HttpExchange exchange) throws IOException {
        String path = exchange.getRequestURI().getPath();
        String query = String.valueOf(exchange.getRequestURI().getQuery());
        String authorization = String.valueOf(exchange.getRequestHeaders().getFirst("authorization"));
        if (authorization.startsWith("AWS4") && !authorization.contains("Credential=" + key + "/")) {
            exchange.sendResponseHeaders(403, -1);
        } else if (path.startsWith("/redirect/")) {
            exchange.getResponseHeaders().add("location", redirectTo + path.substring("/redirect/".length()));
            exchange.sendResponseHeaders(302, -1);
        } else if (path.equals("/bucket") && authorization.startsWith("AWS4-HMAC-SHA256 Credential=" + key + "/")) {
            list(exchange, query);
        } else if (path.startsWith("/bucket/") && objects.containsKey(path.substring(8))) {
            send(exchange, objects.get(path.substring(8)));
        } else {
            exchange.sendResponseHeaders(path.equals("/bucket") ? 403 : 404, -1);
        }
        exchange.close();
    }

    private void await() throws IOException {
        busiest.accumulateAndGet(busy.incrementAndGet(), Math::max);
        try {
            gathering.countDown();
            if (!gathering.await(10, TimeUnit.SECONDS)) {
                throw new IOException(gathering.getCount() + " more were expected at the same time");
            }
        } catch (InterruptedException e) {
            throw new IOException(e);
        } finally {
            busy.decrementAndGet();
        }
    }

    private void list(HttpExchange exchange, String query) throws IOException {
        Matcher token = Pattern.compile("continuation-token=(\\d+)").matcher(query);
        int from = token.find() ? Integer.parseInt(token.group(1)) : 0;
        StringBuilder xml = new StringBuilder("<?xml version=\"1.0\"?><ListBucketResult>");
        objects.keySet().stream()
                .skip(from)
                .limit(page)
                .forEach(name -> xml.append("<Contents><Key>")
                        .append(name.replace("&", "&amp;"))
                        .append("</Key><Size>")
                        .append(objects.get(name).length)
                        .append("</Size><ETag>")
                        .append(etag.replace("\"", "&quot;"))
                        .append("</ETag></Contents>"));
        if (from + page < objects.size()) {
            xml.append("<NextContinuationToken>").append(from + page).append("</NextContinuationToken>");
        }
        byte[] body = xml.append("</ListBucketResult>").toString().getBytes(StandardCharsets.UTF_8);
        exchange.sendResponseHeaders(200, body.length);
        exchange.getResponseBody().write(body);
    }

    private void send(HttpExchange exchange, byte[] content) throws IOException {
        exchange.getResponseHeaders().add("etag", etag);
        String wanted = exchange.getRequestHeaders().getFirst("if-match");
        Matcher range = Pattern.compile("bytes=(\\d+)-(\\d+)")
                .matcher(String.valueOf(exchange.getRequestHeaders().getFirst("range")));
        if (wanted != null && !wanted.equals(etag)) {
            exchange.sendResponseHeaders(412, -1);
        } else if (exchange.getRequestMethod().equals("HEAD")) {
            await();
            exchange.getResponseHeaders().add("content-length", String.valueOf(content.length));
            exchange.sendResponseHeaders(200, -1);
        } else if (range.matches()) {
            byte[] part =
                    Arrays.copyOfRange(content, Integer.parseInt(range.group(1)), Integer.parseInt(range.group(2)) + 1);
            exchange.sendResponseHeaders(206, part.length);
            exchange.getResponseBody().write(part);
        } else {
            exchange.sendResponseHeaders(200, content.length);
            exchange.getResponseBody().write(content);
        }
    }

    @Override
    public void close() {
        server.stop(0);
        threads.shutdownNow();
    }
}
