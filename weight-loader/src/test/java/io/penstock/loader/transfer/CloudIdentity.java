package io.penstock.loader.transfer;

import com.sun.net.httpserver.HttpExchange;
import com.sun.net.httpserver.HttpServer;
import com.sun.net.httpserver.HttpsConfigurator;
import com.sun.net.httpserver.HttpsServer;
import io.penstock.api.Keytool;
import io.penstock.emulator.Credentials;
import io.penstock.emulator.Emulator;
import io.vertx.core.json.JsonObject;
import java.io.ByteArrayInputStream;
import java.io.IOException;
import java.math.BigInteger;
import java.net.InetAddress;
import java.net.InetSocketAddress;
import java.net.URI;
import java.nio.charset.StandardCharsets;
import java.nio.file.Files;
import java.nio.file.Path;
import java.nio.file.StandardCopyOption;
import java.security.GeneralSecurityException;
import java.security.KeyFactory;
import java.security.KeyPair;
import java.security.KeyStore;
import java.security.PublicKey;
import java.security.Signature;
import java.security.cert.Certificate;
import java.security.cert.CertificateFactory;
import java.security.interfaces.RSAPublicKey;
import java.security.spec.X509EncodedKeySpec;
import java.time.Instant;
import java.util.Arrays;
import java.util.Base64;
import java.util.List;
import java.util.Map;
import java.util.concurrent.CopyOnWriteArrayList;
import java.util.concurrent.ThreadLocalRandom;
import java.util.regex.Matcher;
import java.util.regex.Pattern;
import javax.net.ssl.KeyManagerFactory;
import javax.net.ssl.SSLContext;

/// What gives machines and pods their identity in the cloud, as OCI's SDK speaks to it: an instance's metadata service,
/// the federation service that makes a session of an instance's certificate, and the one on OKE's nodes (`proxymux`)
/// that makes one of a pod's service account; and the files that a resource finds its own in. Sessions are made known
/// to the
/// emulator.
final class CloudIdentity implements AutoCloseable {
    private static final String TENANCY = "ocid1.tenancy.oc1..a";
    /// Good until the year 2286.
    private static final String POD_TOKEN = token("{\"exp\":9999999999}");

    /// The port that the SDK asks on, whatever host the environment names.
    private static final int PROXYMUX_PORT = 12250;

    private final Path folder;
    private final KeyStore.PrivateKeyEntry leaf;
    private final HttpServer server;
    private final HttpsServer pods;
    private final String host;
    private volatile Emulator emulator;
    private volatile int lifeSeconds;
    /// Tokens that were given out, the newest last.
    final List<String> sessions = new CopyOnWriteArrayList<>();
    /// Why somebody was turned away.
    final List<String> refused = new CopyOnWriteArrayList<>();

    /// @param folder made where it is missing
    CloudIdentity(Path folder) throws Exception {
        this.folder = Files.createDirectories(folder);
        // The port is given, so that the address has to differ from others'.
        ThreadLocalRandom random = ThreadLocalRandom.current();
        host = "127.%d.%d.%d".formatted(random.nextInt(1, 255), random.nextInt(256), random.nextInt(1, 255));
        Keytool keys = new Keytool(folder.resolve("keys.p12"));
        keys.generate("leaf", "RSA", "CN=ocid1.instance.oc1..a, OU=opc-tenant:" + TENANCY, "-keysize", "2048");
        keys.generate("pods", "EC", "CN=proxymux", "-ext", "san=ip:" + host);
        leaf = keys.entry("leaf");
        Files.writeString(
                authority(),
                Keytool.pem("CERTIFICATE", keys.entry("pods").getCertificate().getEncoded()));
        Files.writeString(podToken(), POD_TOKEN);
        server = HttpServer.create(new InetSocketAddress(InetAddress.getLoopbackAddress(), 0), 0);
        server.createContext("/opc/v2/", exchange -> answer(exchange, this::metadata));
        server.createContext("/v1/x509", exchange -> answer(exchange, this::instanceSession));
        server.start();
        pods = HttpsServer.create(new InetSocketAddress(host, PROXYMUX_PORT), 0);
        pods.setHttpsConfigurator(new HttpsConfigurator(tls(keys.entry("pods"))));
        pods.createContext("/resourcePrincipalSessionTokens", exchange -> answer(exchange, this::podSession));
        pods.start();
    }

    private static SSLContext tls(KeyStore.PrivateKeyEntry entry) throws GeneralSecurityException, IOException {
        char[] password = "in memory only".toCharArray();
        KeyStore one = KeyStore.getInstance("PKCS12");
        one.load(null, null);
        one.setKeyEntry("pods", entry.getPrivateKey(), password, entry.getCertificateChain());
        KeyManagerFactory managers = KeyManagerFactory.getInstance(KeyManagerFactory.getDefaultAlgorithm());
        managers.init(one, password);
        SSLContext context = SSLContext.getInstance("TLS");
        context.init(managers.getKeyManagers(), null, null);
        return context;
    }

    /// Forgets what was, and makes sessions known to another service from now on.
    ///
    /// @param seconds that each session lives
    void begin(Emulator service, int seconds) {
        emulator = service;
        lifeSeconds = seconds;
        sessions.clear();
        refused.clear();
    }

    /// What a process finds all this by.
    Map<String, String> environment() {
        return Map.of(
                "OCI_METADATA_BASE_URL",
                federation() + "/opc/v2/",
                "KUBERNETES_SERVICE_HOST",
                host,
                "OCI_KUBERNETES_SERVICE_ACCOUNT_CERT_PATH",
                authority().toString(),
                "OCI_RESOURCE_PRINCIPAL_VERSION",
                "2.2",
                "OCI_RESOURCE_PRINCIPAL_RPST",
                folder.resolve("session").toString(),
                "OCI_RESOURCE_PRINCIPAL_PRIVATE_PEM",
                folder.resolve("session.pem").toString(),
                "OCI_RESOURCE_PRINCIPAL_REGION",
                "us-ashburn-1");
    }

    URI federation() {
        return URI.create("http://127.0.0.1:" + server.getAddress().getPort());
    }

    /// The file of the pod's own token.
    Path podToken() {
        return folder.resolve("pod-token");
    }

    /// The certificate that the pods' service is known by.
    private Path authority() {
        return folder.resolve("ca.crt");
    }

    /// Writes a resource's next token and key where the cloud would.
    void renewResource() throws IOException {
        KeyPair keys = Credentials.generate().keys();
        RSAPublicKey key = (RSAPublicKey) keys.getPublic();
        String token = token(key, lifeSeconds);
        emulator.registerSession(token, key);
        sessions.add(token);
        replace(
                folder.resolve("session.pem"),
                Keytool.pem("PRIVATE KEY", keys.getPrivate().getEncoded()));
        replace(folder.resolve("session"), token);
    }

    private static void replace(Path file, String content) throws IOException {
        Path fresh = Files.writeString(file.resolveSibling(file.getFileName() + ".new"), content);
        Files.move(fresh, file, StandardCopyOption.ATOMIC_MOVE, StandardCopyOption.REPLACE_EXISTING);
    }

    private interface Answer {
        byte[] to(HttpExchange exchange, byte[] body) throws Exception;
    }

    private static final class Refused extends Exception {
        Refused(String reason) {
            super(reason);
        }
    }

    private void answer(HttpExchange exchange, Answer answer) throws IOException {
        try (exchange) {
            byte[] body = exchange.getRequestBody().readAllBytes();
            byte[] content;
            int status = 200;
            try {
                content = answer.to(exchange, body);
            } catch (Exception e) {
                refused.add(exchange.getRequestURI() + ": " + e);
                content = new JsonObject()
                        .put("code", "NotAuthenticated")
                        .put("message", String.valueOf(e))
                        .encode()
                        .getBytes(StandardCharsets.UTF_8);
                status = 401;
            }
            String path = exchange.getRequestURI().getPath();
            exchange.getResponseHeaders()
                    .add("content-type", path.startsWith("/opc/") ? "text/plain" : "application/json");
            exchange.sendResponseHeaders(status, content.length);
            exchange.getResponseBody().write(content);
        }
    }

    private byte[] metadata(HttpExchange exchange, byte[] body) throws Exception {
        if (!"Bearer Oracle".equals(exchange.getRequestHeaders().getFirst("authorization"))) {
            throw new Refused("the metadata service wants its header");
        }
        String text = switch (exchange.getRequestURI().getPath().substring("/opc/v2/".length())) {
            case "instance/region" -> "iad";
            case "identity/cert.pem", "identity/intermediate.pem" ->
                Keytool.pem("CERTIFICATE", leaf.getCertificate().getEncoded());
            case "identity/key.pem" ->
                Keytool.pem("PRIVATE KEY", leaf.getPrivateKey().getEncoded());
            default -> throw new Refused("nothing is there");
        };
        return text.getBytes(StandardCharsets.UTF_8);
    }

    /// A request that is signed with the instance's key gets a session for the public key in its body.
    private byte[] instanceSession(HttpExchange exchange, byte[] body) throws Exception {
        JsonObject asked = new JsonObject(new String(body, StandardCharsets.UTF_8));
        Certificate given = CertificateFactory.getInstance("X.509")
                .generateCertificate(
                        new ByteArrayInputStream(Base64.getDecoder().decode(asked.getString("certificate"))));
        if (!given.equals(leaf.getCertificate())) {
            throw new Refused("the certificate is not the instance's");
        }
        requireSigned(exchange);
        return new JsonObject()
                .put("token", session(asked.getString("publicKey")))
                .encode()
                .getBytes(StandardCharsets.UTF_8);
    }

    private void requireSigned(HttpExchange exchange) throws Exception {
        String authorization = exchange.getRequestHeaders().getFirst("authorization");
        StringBuilder text = new StringBuilder();
        for (String name : parameter(authorization, "headers").split(" ")) {
            String value = name.equals("(request-target)")
                    ? "post " + exchange.getRequestURI()
                    : exchange.getRequestHeaders().getFirst(name);
            text.append(text.isEmpty() ? "" : "\n").append(name).append(": ").append(value);
        }
        Signature signature = Signature.getInstance("SHA256withRSA");
        signature.initVerify(leaf.getCertificate().getPublicKey());
        signature.update(text.toString().getBytes(StandardCharsets.UTF_8));
        if (!parameter(authorization, "keyId").startsWith(TENANCY + "/fed-x509-sha256/")
                || !signature.verify(Base64.getDecoder().decode(parameter(authorization, "signature")))) {
            throw new Refused("the request is not signed by the instance: " + authorization);
        }
    }

    private static String parameter(String header, String name) throws Refused {
        Matcher found = Pattern.compile(name + "=\"([^\"]*)\"").matcher(String.valueOf(header));
        if (!found.find()) {
            throw new Refused("no " + name + " in " + header);
        }
        return found.group(1);
    }

    /// A request with the pod's token gets a session for the public key in its body, wrapped twice.
    private byte[] podSession(HttpExchange exchange, byte[] body) throws Exception {
        if (!("Bearer " + POD_TOKEN).equals(exchange.getRequestHeaders().getFirst("authorization"))) {
            throw new Refused("that is not the pod's token");
        }
        String key = new JsonObject(new String(body, StandardCharsets.UTF_8)).getString("podKey");
        String inner = new JsonObject().put("token", "ST$" + session(key)).encode();
        String outer = Base64.getEncoder().encodeToString(inner.getBytes(StandardCharsets.UTF_8));
        return ("\"" + outer + "\"").getBytes(StandardCharsets.UTF_8);
    }

    private String session(String publicKey) throws GeneralSecurityException {
        PublicKey key = KeyFactory.getInstance("RSA")
                .generatePublic(new X509EncodedKeySpec(Base64.getMimeDecoder().decode(publicKey)));
        String token = token((RSAPublicKey) key, lifeSeconds);
        emulator.registerSession(token, key);
        sessions.add(token);
        return token;
    }

    /// A session's token, of nobody's signature.
    private static String token(RSAPublicKey key, int lifeSeconds) {
        String jwk = "{\\\"kty\\\":\\\"RSA\\\",\\\"n\\\":\\\"%s\\\",\\\"e\\\":\\\"%s\\\"}"
                .formatted(number(key.getModulus()), number(key.getPublicExponent()));
        long now = Instant.now().getEpochSecond();
        return token("{\"iat\":%d,\"exp\":%d,\"res_tenant\":\"%s\",\"jwk\":\"%s\"}"
                .formatted(now, now + lifeSeconds, TENANCY, jwk));
    }

    private static String token(String claims) {
        return encoded("{\"alg\":\"RS256\"}".getBytes(StandardCharsets.UTF_8)) + "."
                + encoded(claims.getBytes(StandardCharsets.UTF_8)) + "." + encoded(new byte[] {1});
    }

    private static String number(BigInteger value) {
        byte[] bytes = value.toByteArray();
        // Without the sign.
        return encoded(bytes[0] == 0 ? Arrays.copyOfRange(bytes, 1, bytes.length) : bytes);
    }

    private static String encoded(byte[] bytes) {
        return Base64.getUrlEncoder().withoutPadding().encodeToString(bytes);
    }

    @Override
    public void close() {
        server.stop(0);
        pods.stop(0);
    }
}
