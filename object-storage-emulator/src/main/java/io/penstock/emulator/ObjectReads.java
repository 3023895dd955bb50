package io.penstock.emulator;

import io.netty.channel.Channel;
import io.netty.channel.ChannelOption;
import io.vertx.core.Future;
import io.vertx.core.Promise;
import io.vertx.core.Vertx;
import io.vertx.core.buffer.Buffer;
import io.vertx.core.http.HttpConnection;
import io.vertx.core.http.HttpServerRequest;
import io.vertx.core.http.HttpServerResponse;
import io.vertx.core.net.impl.ConnectionBase;
import java.io.EOFException;
import java.io.IOException;
import java.io.UncheckedIOException;
import java.nio.ByteBuffer;
import java.nio.channels.FileChannel;
import java.nio.file.Path;
import java.nio.file.StandardOpenOption;
import java.time.Instant;
import java.time.ZoneOffset;
import java.time.format.DateTimeFormatter;
import java.util.Map;
import java.util.Optional;
import java.util.UUID;
import java.util.concurrent.ConcurrentHashMap;
import java.util.concurrent.atomic.AtomicInteger;

/// GET and HEAD of objects: conditions, ranges, zero-copy bodies, and the faults that strike them.
final class ObjectReads {
    private static final int COPY_SIZE = 1 << 16;

    private final Vertx vertx;
    private final ObjectStore store;
    private final Faults faults;
    private final Traffic traffic;
    private final Map<HttpConnection, Integer> connections = new ConcurrentHashMap<>();
    private final AtomicInteger connected = new AtomicInteger();
    private volatile Link link = Link.DIRECT;

    ObjectReads(Vertx vertx, ObjectStore store, Faults faults, Traffic traffic) {
        this.vertx = vertx;
        this.store = store;
        this.faults = faults;
        this.traffic = traffic;
    }

    void link(Link given) {
        link = given;
    }

    /// Counts a new connection.
    void connected(HttpConnection connection) {
        connections.put(connection, connected.getAndIncrement());
        connection.closeHandler(_ -> connections.remove(connection));
    }

    Future<Void> head(HttpServerRequest request, ObjectPath path) {
        StoredObject object = store.object(path.bucket(), path.object());
        if (notModified(request, object)) {
            return request.response().setStatusCode(304).end();
        }
        describe(request, object).putHeader("content-length", Long.toString(object.size()));
        return request.response().end();
    }

    Future<Void> get(HttpServerRequest request, ObjectPath path) {
        long size = store.object(path.bucket(), path.object()).size();
        ByteRange asked = ByteRange.parse(request.getHeader("range"), size).orElse(new ByteRange(0, size));
        ObjectRead read = new ObjectRead(
                path.bucket(),
                path.object(),
                asked.offset(),
                asked.length(),
                connections.getOrDefault(request.connection(), -1));
        long latency = link.latency().toMillis();
        return latency == 0
                ? answer(request, path, read)
                : vertx.timer(latency).compose(_ -> answer(request, path, read));
    }

    private Future<Void> answer(HttpServerRequest request, ObjectPath path, ObjectRead read) {
        long clearings = faults.clearings();
        Optional<Fault> fault = faults.next(read);
        if (fault.isEmpty()) {
            return send(request, path, read);
        }
        return switch (fault.get()) {
            case Fault.Latency(var delay) ->
                vertx.timer(Math.max(1, delay.toMillis())).compose(_ -> send(request, path, read));
            case Fault.Refusal(var status, var retryAfter) -> {
                retryAfter.ifPresent(
                        wait -> request.response().putHeader("retry-after", Long.toString(wait.toSeconds())));
                yield Future.failedFuture(new ServiceException(
                        status, status == 429 ? "TooManyRequests" : "ServiceUnavailable", "An injected refusal"));
            }
            case Fault.Truncation(var bytes) ->
                sendSome(request, path, read, bytes)
                        .onSuccess(_ -> request.connection().close());
            case Fault.Reset(var bytes) ->
                bytes < 0
                        ? reset(request)
                        : sendSome(request, path, read, bytes).compose(_ -> reset(request));
            case Fault.Stall(var bytes) -> sendSome(request, path, read, bytes);
            case Fault.IgnoredRange() -> {
                StoredObject object = conditional(request, path);
                traffic.add(read, object.size());
                yield describe(request, object).sendFile(object.content().toString());
            }
            case Fault.ShiftedRange(var shift) -> {
                StoredObject object = conditional(request, path);
                long offset = Math.clamp(read.offset() + shift, 0, object.size() - read.length());
                traffic.add(read, read.length());
                yield partial(request, object, offset, read.length())
                        .sendFile(object.content().toString(), offset, read.length());
            }
            case Fault.Corruption(var position) -> {
                StoredObject object = conditional(request, path);
                byte[] body = bytes(object.content(), read.offset(), read.length());
                int at = Math.toIntExact(Math.clamp(position, 0, read.length() - 1));
                body[at] = (byte) ~body[at];
                traffic.add(read, read.length());
                yield partial(request, object, read.offset(), read.length()).end(Buffer.buffer(body));
            }
            case Fault.ExpiredCredentials() ->
                Future.failedFuture(ServiceException.notAuthenticated("an injected expiry of credentials"));
            case Fault.Replacement() -> {
                faults.unlessCleared(clearings, () -> replace(path));
                yield send(request, path, read);
            }
        };
    }

    private Future<Void> send(HttpServerRequest request, ObjectPath path, ObjectRead read) {
        StoredObject object = store.object(path.bucket(), path.object());
        if (notModified(request, object)) {
            return request.response().setStatusCode(304).end();
        }
        conditional(request, path);
        traffic.add(read, read.length());
        HttpServerResponse response = request.response();
        if (ByteRange.parse(request.getHeader("range"), object.size()).isPresent()) {
            partial(request, object, read.offset(), read.length());
        } else {
            describe(request, object);
        }
        long bytesPerSecond = link.bytesPerSecond().applyAsLong(read.connection());
        return bytesPerSecond == 0
                ? response.sendFile(object.content().toString(), read.offset(), read.length())
                : PacedBody.send(vertx, response, object.content(), read.offset(), read.length(), bytesPerSecond);
    }

    /// Right headers, then only the first bytes of the body.
    private Future<Void> sendSome(HttpServerRequest request, ObjectPath path, ObjectRead read, long bytes) {
        StoredObject object = conditional(request, path);
        long sent = Math.min(bytes, read.length() - 1);
        traffic.add(read, sent);
        HttpServerResponse response = partial(request, object, read.offset(), read.length())
                .putHeader("content-length", Long.toString(read.length()));
        return response.write(Buffer.buffer(bytes(object.content(), read.offset(), sent)));
    }

    static Future<Void> reset(HttpServerRequest request) {
        // With a linger of nothing the kernel answers with RST instead of an orderly end.
        Channel channel = ((ConnectionBase) request.connection()).channel();
        channel.config().setOption(ChannelOption.SO_LINGER, 0);
        Promise<Void> closed = Promise.promise();
        channel.close().addListener(_ -> closed.complete());
        return closed.future();
    }

    private StoredObject conditional(HttpServerRequest request, ObjectPath path) {
        StoredObject object = store.object(path.bucket(), path.object());
        String wanted = request.getHeader("if-match");
        if (wanted != null
                && !wanted.equals("*")
                && !wanted.equals(Dialect.of(request).etag(object))) {
            throw new ServiceException(
                    412,
                    "IfMatchFailed",
                    "The ETag is '" + Dialect.of(request).etag(object) + "', not '" + wanted + "'");
        }
        return object;
    }

    private static boolean notModified(HttpServerRequest request, StoredObject object) {
        String unwanted = request.getHeader("if-none-match");
        return unwanted != null
                && (unwanted.equals("*") || unwanted.equals(Dialect.of(request).etag(object)));
    }

    private static HttpServerResponse partial(
            HttpServerRequest request, StoredObject object, long offset, long length) {
        return describe(request, object)
                .setStatusCode(206)
                .putHeader("content-range", "bytes " + offset + "-" + (offset + length - 1) + "/" + object.size());
    }

    private static HttpServerResponse describe(HttpServerRequest request, StoredObject object) {
        Dialect dialect = Dialect.of(request);
        return dialect.describe(request, object)
                .putHeader("etag", dialect.etag(object))
                .putHeader("accept-ranges", "bytes")
                .putHeader("content-type", "application/octet-stream")
                .putHeader("last-modified", httpDate(object.created()));
    }

    static String httpDate(Instant instant) {
        return DateTimeFormatter.RFC_1123_DATE_TIME.format(instant.atOffset(ZoneOffset.UTC));
    }

    private static byte[] bytes(Path file, long offset, long length) {
        try (FileChannel channel = FileChannel.open(file)) {
            ByteBuffer bytes = ByteBuffer.allocate(Math.toIntExact(length));
            while (bytes.hasRemaining()) {
                if (channel.read(bytes, offset + bytes.position()) < 0) {
                    throw new EOFException(file + " ends before " + (offset + length));
                }
            }
            return bytes.array();
        } catch (IOException e) {
            throw new UncheckedIOException(e);
        }
    }

    private void replace(ObjectPath path) {
        StoredObject old = store.object(path.bucket(), path.object());
        Path content = store.newContent(path.bucket());
        ContentDigest digest = new ContentDigest(false);
        try (FileChannel from = FileChannel.open(old.content());
                FileChannel to = FileChannel.open(content, StandardOpenOption.CREATE_NEW, StandardOpenOption.WRITE)) {
            ByteBuffer buffer = ByteBuffer.allocate(COPY_SIZE);
            while (from.read(buffer.clear()) > 0) {
                buffer.flip();
                for (int i = 0; i < buffer.limit(); i++) {
                    buffer.put(i, (byte) ~buffer.get(i));
                }
                digest.update(buffer.duplicate());
                while (buffer.hasRemaining()) {
                    to.write(buffer);
                }
            }
        } catch (IOException e) {
            throw new UncheckedIOException(e);
        }
        ContentDigest.Checksums sums = digest.finish();
        store.put(
                path.bucket(),
                new StoredObject(
                        old.name(),
                        content,
                        sums.length(),
                        UUID.randomUUID().toString(),
                        sums.md5(),
                        false,
                        old.crc32c().map(_ -> sums.crc32c()),
                        Instant.now()));
    }
}
