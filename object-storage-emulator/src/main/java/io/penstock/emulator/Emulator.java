package io.penstock.emulator;

import io.vertx.core.Future;
import io.vertx.core.Vertx;
import io.vertx.core.VertxOptions;
import io.vertx.core.http.HttpMethod;
import io.vertx.core.http.HttpServer;
import io.vertx.core.http.HttpServerOptions;
import io.vertx.core.http.HttpServerRequest;
import io.vertx.core.http.HttpServerResponse;
import io.vertx.core.json.DecodeException;
import io.vertx.core.json.JsonObject;
import java.io.IOException;
import java.lang.System.Logger;
import java.lang.System.Logger.Level;
import java.net.URI;
import java.nio.file.Path;
import java.security.MessageDigest;
import java.security.NoSuchAlgorithmException;
import java.security.PublicKey;
import java.time.Clock;
import java.util.Base64;
import java.util.Map;
import java.util.Optional;
import java.util.UUID;
import java.util.concurrent.CompletionException;
import java.util.concurrent.ConcurrentHashMap;
import java.util.concurrent.ExecutionException;
import java.util.concurrent.TimeUnit;
import java.util.concurrent.TimeoutException;

/// The emulated service, listening on loopback until it is closed.
///
/// Objects outlive it in their folder; multipart uploads that were begun, keys, faults and the traffic
/// record do not.
public final class Emulator implements AutoCloseable {
    /// The only namespace there is.
    public static final String NAMESPACE = "penstock";

    private static final String SESSION = "ST$";
    private static final Logger LOG = System.getLogger(Emulator.class.getName());
    // Held, since a logger's level is lost with the logger.
    private static final java.util.logging.Logger CONNECTIONS =
            java.util.logging.Logger.getLogger("io.vertx.core.net.impl.ConnectionBase");

    static {
        // Vert.x tells there, as errors with their traces, that a client left while a file was sent, whatever handlers
        // a connection has.
        CONNECTIONS.setLevel(java.util.logging.Level.OFF);
    }

    private static final int MAX_JSON_BODY = 4 << 20;
    private static final long CLOSE_SECONDS = 10;

    private final Vertx vertx;
    private final HttpServer server;
    private final ObjectStore store;
    private final SignatureVerifier signatures = new SignatureVerifier(Clock.systemUTC());
    private final Faults faults = new Faults();
    private final Traffic traffic = new Traffic();
    private final Map<String, String> grants = new ConcurrentHashMap<>();
    private final ObjectReads reads;
    private final UploadStore uploadStore;
    private final Uploads uploads;
    private final S3Service s3;

    private Emulator(Path root, int port) throws IOException {
        store = new ObjectStore(root);
        vertx = Vertx.vertx(new VertxOptions()
                .setUseDaemonThread(true)
                .setEventLoopPoolSize(2)
                .setWorkerPoolSize(4));
        reads = new ObjectReads(vertx, store, faults, traffic);
        uploadStore = new UploadStore(vertx, store);
        WriteFaults writeFaults = new WriteFaults(vertx, faults);
        uploads = new Uploads(uploadStore, writeFaults);
        s3 = new S3Service(store, reads, uploadStore, writeFaults);
        server = vertx.createHttpServer(new HttpServerOptions()
                        // The service speaks HTTP/1.1; over HTTP/2 a file could not be sent without a copy.
                        .setHttp2ClearTextEnabled(false)
                        // Clients of S3 wait for it before they send a body.
                        .setHandle100ContinueAutomatically(true)
                        .setHost("127.0.0.1")
                        .setPort(port))
                .connectionHandler(connection -> {
                    reads.connected(connection);
                    connection.exceptionHandler(failure ->
                            LOG.log(Level.DEBUG, "a connection has failed, as when a client leaves", failure));
                })
                .requestHandler(this::handle);
        try {
            server.listen().toCompletionStage().toCompletableFuture().join();
        } catch (CompletionException e) {
            vertx.close();
            throw new IOException("cannot listen on 127.0.0.1:" + port + ": " + e.getCause(), e);
        }
    }

    /// Starts on loopback.
    ///
    /// @param root folder of the buckets, made where it is missing; what it holds from an earlier run is
    ///     served
    /// @param port 0 for any free one
    public static Emulator start(Path root, int port) throws IOException {
        return new Emulator(root, port);
    }

    /// @return what a client's endpoint is set to, without a trailing slash
    public URI endpoint() {
        return URI.create("http://127.0.0.1:" + server.actualPort());
    }

    /// Lets requests in that are signed with this key.
    public void register(Credentials credentials) {
        signatures.register(credentials);
    }

    /// Lets requests in that are signed with the key of a session, as principals of the cloud have them.
    ///
    /// @param token what the session's issuer gave out; requests name it as their key
    public void registerSession(String token, PublicKey key) {
        signatures.register(SESSION + token, key);
    }

    /// Refuses the session from now on, as after its expiry.
    public void revokeSession(String token) {
        signatures.revoke(SESSION + token);
    }

    /// Refuses the key from now on, as after a rotation.
    public void revoke(Credentials credentials) {
        signatures.revoke(credentials.keyId());
    }

    /// Lets requests of S3's API in that are signed with this key.
    public void register(AccessKey key) {
        s3.signatures().register(key);
    }

    /// Refuses the key from now on.
    public void revoke(AccessKey key) {
        s3.signatures().revoke(key);
    }

    /// Has S3's API refuse headers of checksums from now on, as older services do.
    public void withoutS3Checksums() {
        s3.forgetChecksums();
    }

    /// Makes a bucket; one that is there stays as it is.
    public void createBucket(String bucket) {
        store.createBucket(bucket);
    }

    /// Copies a local file into a bucket, with its CRC32C, as an upload by a client would.
    ///
    /// @return the object's ETag
    public String putFile(String bucket, String object, Path file) throws IOException {
        return uploadStore.putFile(bucket, object, file, false).etag();
    }

    /// The same without a copy: the file, which may have holes, is the emulator's from now on. It must be on the volume
    /// of the buckets.
    public void adoptFile(String bucket, String object, Path file) throws IOException {
        uploadStore.putFile(bucket, object, file, true);
    }

    /// Lets everyone in who has the address: a pre-authenticated request for a whole bucket.
    ///
    /// @return what takes the place of [#endpoint] in the bucket's addresses
    public URI preauthenticate(String bucket) {
        store.bucket(bucket);
        String token = UUID.randomUUID().toString();
        grants.put(token, bucket);
        return URI.create(endpoint() + "/p/" + token);
    }

    /// @param link holds for reads that begin from now on
    public void link(Link link) {
        reads.link(link);
    }

    public Faults faults() {
        return faults;
    }

    public Traffic traffic() {
        return traffic;
    }

    @Override
    public void close() {
        try {
            vertx.close().toCompletionStage().toCompletableFuture().get(CLOSE_SECONDS, TimeUnit.SECONDS);
        } catch (InterruptedException e) {
            Thread.currentThread().interrupt();
        } catch (ExecutionException | TimeoutException e) {
            throw new IllegalStateException("the emulator does not close", e);
        }
    }

    private void handle(HttpServerRequest request) {
        HttpServerResponse response = request.response();
        response.putHeader("opc-request-id", UUID.randomUUID().toString())
                .putHeader("date", ObjectReads.httpDate(Clock.systemUTC().instant()));
        String clientId = request.getHeader("opc-client-request-id");
        if (clientId != null) {
            response.putHeader("opc-client-request-id", clientId);
        }
        Future<Void> answer;
        try {
            answer = Dialect.of(request) == Dialect.S3 ? s3.handle(request) : route(request);
        } catch (RuntimeException e) {
            answer = Future.failedFuture(e);
        }
        answer.onFailure(failure -> fail(request, failure));
    }

    private Future<Void> route(HttpServerRequest request) {
        Optional<ObjectPath.Preauthenticated> preauthenticated = ObjectPath.Preauthenticated.parse(request.uri());
        ObjectPath path = ObjectPath.parse(
                preauthenticated.map(ObjectPath.Preauthenticated::target).orElse(request.uri()));
        String operation =
                request.method().name() + " " + path.kind() + (path.object().isEmpty() ? "" : "*");
        // Streamed bodies are not part of the signature; a body in JSON is.
        boolean streamed = operation.equals("PUT o*") || operation.equals("PUT u*");
        boolean bodied =
                request.method().equals(HttpMethod.POST) || request.method().equals(HttpMethod.PUT);
        if (preauthenticated.isPresent()) {
            checkGrant(preauthenticated.get().token(), path);
        } else {
            signatures.verify(request, bodied && !streamed);
        }
        if (!path.namespace().isEmpty() && !path.namespace().equals(NAMESPACE)) {
            throw new ServiceException(404, "NamespaceNotFound", "The namespace is '" + NAMESPACE + "'");
        }
        return switch (operation) {
            case "GET " -> path.namespace().isEmpty() ? namespace(request) : bucket(request, path);
            case "HEAD " -> bucket(request, path);
            case "POST " -> json(request).compose(body -> createBucket(request, path, body));
            case "GET o" -> answer(request, Listing.list(store.bucket(path.bucket()), request.params()));
            case "GET o*" -> reads.get(request, path);
            case "HEAD o*" -> reads.head(request, path);
            case "PUT o*" -> uploads.putObject(request, path);
            case "DELETE o*" -> {
                store.delete(path.bucket(), path.object());
                yield request.response().setStatusCode(204).end();
            }
            case "GET u" -> uploads.list(request, path);
            case "GET u*" -> uploads.listParts(request, path);
            case "POST u" -> json(request).compose(body -> uploads.create(request, path, body));
            case "PUT u*" -> uploads.putPart(request, path);
            case "POST u*" -> json(request).compose(body -> uploads.commit(request, path, body));
            case "DELETE u*" -> uploads.abort(request, path);
            default -> throw new ServiceException(405, "MethodNotAllowed", "No operation is " + operation);
        };
    }

    private void checkGrant(String token, ObjectPath path) {
        if (path.bucket().isEmpty() || !path.bucket().equals(grants.get(token))) {
            throw new ServiceException(404, "NotAuthorizedOrNotFound", "The pre-authenticated request is not known");
        }
    }

    private static Future<Void> namespace(HttpServerRequest request) {
        return request.response().putHeader("content-type", "application/json").end("\"" + NAMESPACE + "\"");
    }

    private Future<Void> bucket(HttpServerRequest request, ObjectPath path) {
        store.bucket(path.bucket());
        return answer(request, new JsonObject().put("namespace", NAMESPACE).put("name", path.bucket()));
    }

    private Future<Void> createBucket(HttpServerRequest request, ObjectPath path, JsonObject body) {
        if (!path.bucket().isEmpty()) {
            throw new ServiceException(405, "MethodNotAllowed", "A bucket is created by a POST to /n/{namespace}/b");
        }
        String name = body.getString("name", "");
        if (!store.createBucket(name)) {
            throw new ServiceException(409, "BucketAlreadyExists", "The bucket '" + name + "' exists");
        }
        return answer(request, new JsonObject().put("namespace", NAMESPACE).put("name", name));
    }

    private static Future<Void> answer(HttpServerRequest request, JsonObject body) {
        return request.response().putHeader("content-type", "application/json").end(body.encode());
    }

    /// A signed JSON body: bounded, and of the digest that was signed.
    private static Future<JsonObject> json(HttpServerRequest request) {
        String length = request.getHeader("content-length");
        if (length == null || !length.matches("\\d{1,9}") || Integer.parseInt(length) > MAX_JSON_BODY) {
            throw ServiceException.invalid("a JSON body has a Content-Length of at most " + MAX_JSON_BODY);
        }
        return request.body().map(body -> {
            String digest = Base64.getEncoder().encodeToString(sha256(body.getBytes()));
            if (!digest.equals(request.getHeader("x-content-sha256"))) {
                throw ServiceException.notAuthenticated("x-content-sha256 is not the body's");
            }
            try {
                return body.length() == 0 ? new JsonObject() : body.toJsonObject();
            } catch (DecodeException e) {
                throw ServiceException.invalid("the body is not a JSON object: " + e.getMessage());
            }
        });
    }

    static byte[] sha256(byte[] bytes) {
        try {
            return MessageDigest.getInstance("SHA-256").digest(bytes);
        } catch (NoSuchAlgorithmException e) {
            throw new IllegalStateException("every Java platform has SHA-256", e);
        }
    }

    private static void fail(HttpServerRequest request, Throwable failure) {
        HttpServerResponse response = request.response();
        if (response.closed()) {
            return;
        }
        if (response.headWritten()) {
            LOG.log(Level.DEBUG, request.uri() + ": the answer broke off, as when a client leaves", failure);
            request.connection().close();
            return;
        }
        ServiceException refusal =
                new ServiceException(500, "InternalServerError", String.valueOf(failure.getMessage()));
        if (failure instanceof ServiceException known) {
            refusal = known;
        } else {
            LOG.log(Level.ERROR, request.uri(), failure);
        }
        Dialect.of(request).refuse(request, refusal);
    }
}
