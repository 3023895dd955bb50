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
import java.util.regex.Matcher;
import java.util.regex.Pattern;

/// One bucket by the API of S3, two names a page; signatures are looked at, not verified (a real server
/// does that in `tools/check_s3.sh`). Also a plain file server: its `/redirect/` sends on to wherever
/// it is told.
final class FakeStore implements AutoCloseable {
    private final Map<String, byte[]> objects = new TreeMap<>();
    private final HttpServer server;
    volatile String redirectTo = "/bucket/";
    volatile String etag = "\"one\"";

    FakeStore(Map<String, byte[]> objects) throws IOException {
        this.objects.putAll(objects);
        server = HttpServer.create(new InetSocketAddress(InetAddress.getLoopbackAddress(), 0), 0);
        server.createContext("/", this::handle);
        server.start();
    }

    URI endpoint() {
        return URI.create("http://127.0.0.1:" + server.getAddress().getPort());
    }

    private void handle(HttpExchange exchange) throws IOException {
        String path = exchange.getRequestURI().getPath();
        String query = String.valueOf(exchange.getRequestURI().getQuery());
        String authorization = String.valueOf(exchange.getRequestHeaders().getFirst("authorization"));
        if (path.startsWith("/redirect/")) {
            exchange.getResponseHeaders().add("location", redirectTo + path.substring("/redirect/".length()));
            exchange.sendResponseHeaders(302, -1);
        } else if (path.equals("/bucket") && authorization.startsWith("AWS4-HMAC-SHA256 Credential=key/")) {
            list(exchange, query);
        } else if (path.startsWith("/bucket/") && objects.containsKey(path.substring(8))) {
            send(exchange, objects.get(path.substring(8)));
        } else {
            exchange.sendResponseHeaders(path.equals("/bucket") ? 403 : 404, -1);
        }
        exchange.close();
    }

    private void list(HttpExchange exchange, String query) throws IOException {
        Matcher token = Pattern.compile("continuation-token=(\\d+)").matcher(query);
        int from = token.find() ? Integer.parseInt(token.group(1)) : 0;
        StringBuilder xml = new StringBuilder("<?xml version=\"1.0\"?><ListBucketResult>");
        objects.keySet().stream()
                .skip(from)
                .limit(2)
                .forEach(name -> xml.append("<Contents><Key>")
                        .append(name.replace("&", "&amp;"))
                        .append("</Key></Contents>"));
        if (from + 2 < objects.size()) {
            xml.append("<NextContinuationToken>").append(from + 2).append("</NextContinuationToken>");
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
    }
}
