package io.penstock.loader.transfer;

import com.sun.net.httpserver.HttpExchange;
import com.sun.net.httpserver.HttpServer;
import com.sun.net.httpserver.HttpsConfigurator;
import com.sun.net.httpserver.HttpsServer;
import io.penstock.emulator.Emulator;
import io.vertx.core.json.JsonObject;
import java.io.ByteArrayInputStream;
import java.io.IOException;
import java.io.InputStream;
import java.math.BigInteger;
import java.net.InetAddress;
import java.net.InetSocketAddress;
import java.net.URI;
import java.nio.charset.StandardCharsets;
import java.nio.file.Files;
import java.nio.file.Path;
import java.security.GeneralSecurityException;
import java.security.KeyFactory;
import java.security.KeyStore;
import java.security.PrivateKey;
import java.security.PublicKey;
import java.security.Signature;
import java.security.cert.Certificate;
import java.security.cert.CertificateFactory;
import java.security.interfaces.RSAPublicKey;
import java.security.spec.X509EncodedKeySpec;
import java.time.Instant;
import java.util.ArrayList;
import java.util.Arrays;
import java.util.Base64;
import java.util.List;
import java.util.concurrent.CopyOnWriteArrayList;
import java.util.concurrent.ThreadLocalRandom;
import java.util.regex.Matcher;
import java.util.regex.Pattern;
import javax.net.ssl.KeyManagerFactory;
import javax.net.ssl.SSLContext;

/// What gives machines and pods their identity in the cloud, as OCI's SDK speaks to it: an instance's metadata service,
/// the federation service that makes a session of an instance's certificate, and the one on OKE's nodes (`proxymux`)
/// that makes one of a pod's service account. Sessions are made known to the emulator.
final class CloudIdentity implements AutoCloseable {
    static final String TENANCY = "ocid1.tenancy.oc1..a";
    /// Good until the year 2286.
    static final String POD_TOKEN = token("{\"exp\":9999999999}");

    /// The port that the SDK asks on, whatever host the environment names.
    private static final int PROXYMUX_PORT = 12250;

    private static final String PASSWORD = "for-tests-only";

    private final Emulator emulator;
    private final Certificate leaf;
    private final PrivateKey leafKey;
    private final HttpServer server;
    private final HttpsServer pods;
    private final String host;
    private final Path authority;
    /// Tokens that were given out, the newest last.
    final List<String> sessions = new CopyOnWriteArrayList<>();
    /// Why somebody was turned away.
    final List<String> refused = new CopyOnWriteArrayList<>();

    volatile int lifeSeconds = 1200;

    CloudIdentity(Path folder, Emulator emulator) throws Exception {
        this.emulator = emulator;
        Files.createDirectories(folder);
        // The port is given, so that the address has to differ from others'.
        ThreadLocalRandom random = ThreadLocalRandom.current();
        host = "127.%d.%d.%d".formatted(random.nextInt(1, 255), random.nextInt(256), random.nextInt(1, 255));
        KeyStore store = keys(folder.resolve("keys.p12"));
        leaf = store.getCertificate("leaf");
        leafKey = (PrivateKey) store.getKey("leaf", PASSWORD.toCharArray());
        authority = Files.writeString(
                folder.resolve("ca.crt"),
                pem("CERTIFICATE", store.getCertificate("pods").getEncoded()));
        server = HttpServer.create(new InetSocketAddress(InetAddress.getLoopbackAddress(), 0), 0);
        server.createContext("/opc/v2/", exchange -> answer(exchange, this::metadata));
        server.createContext("/v1/x509", exchange -> answer(exchange, this::instanceSession));
        server.start();
        pods = HttpsServer.create(new InetSocketAddress(host, PROXYMUX_PORT), 0);
        pods.setHttpsConfigurator(new HttpsConfigurator(tls(store)));
        pods.createContext("/resourcePrincipalSessionTokens", exchange -> answer(exchange, this::podSession));
        pods.start();
    }

    private KeyStore keys(Path file) throws Exception {
        keytool(file, "leaf", "CN=ocid1.instance.oc1..a, OU=opc-tenant:" + TENANCY);
        keytool(file, "pods", "CN=proxymux", "-ext", "san=ip:" + host);
        KeyStore store = KeyStore.getInstance("PKCS12");
        try (InputStream in = Files.newInputStream(file)) {
            store.load(in, PASSWORD.toCharArray());
        }
        return store;
    }

    private static void keytool(Path file, String alias, String name, String... more) throws Exception {
        List<String> line = new ArrayList<>(List.of(
                Path.of(System.getProperty("java.home"), "bin", "keytool").toString(),
                "-genkeypair",
                "-alias",
                alias,
                "-keyalg",
                "RSA",
                "-dname",
                name,
                "-validity",
                "2",
                "-keystore",
                file.toString(),
                "-storepass",
                PASSWORD));
        line.addAll(List.of(more));
        Process keytool = new ProcessBuilder(line).redirectErrorStream(true).start();
        String output = new String(keytool.getInputStream().readAllBytes(), StandardCharsets.UTF_8);
        if (keytool.waitFor() != 0) {
            throw new IllegalStateException("keytool: " + output);
        }
    }

    private static SSLContext tls(KeyStore store) throws GeneralSecurityException {
        KeyStore one;
        try {
            one = KeyStore.getInstance("PKCS12");
            one.load(null, null);
        } catch (IOException e) {
            throw new IllegalStateException(e);
        }
        char[] password = PASSWORD.toCharArray();
        one.setKeyEntry("pods", store.getKey("pods", password), password, store.getCertificateChain("pods"));
        KeyManagerFactory managers = KeyManagerFactory.getInstance(KeyManagerFactory.getDefaultAlgorithm());
        managers.init(one, password);
        SSLContext context = SSLContext.getInstance("TLS");
        context.init(managers.getKeyManagers(), null, null);
        return context;
    }

    /// What `OCI_METADATA_BASE_URL` is set to.
    URI metadata() {
        return URI.create(federation() + "/opc/v2/");
    }

    URI federation() {
        return URI.create("http://127.0.0.1:" + server.getAddress().getPort());
    }

    /// What `KUBERNETES_SERVICE_HOST` is set to.
    String host() {
        return host;
    }

    /// The certificate that the pods' service is known by.
    Path authority() {
        return authority;
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
            case "identity/cert.pem", "identity/intermediate.pem" -> pem("CERTIFICATE", leaf.getEncoded());
            case "identity/key.pem" -> pem("PRIVATE KEY", leafKey.getEncoded());
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
        if (!given.equals(leaf)) {
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
        signature.initVerify(leaf.getPublicKey());
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
    static String token(RSAPublicKey key, int lifeSeconds) {
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

    static String pem(String kind, byte[] content) {
        String base64 = Base64.getMimeEncoder(64, new byte[] {'\n'}).encodeToString(content);
        return "-----BEGIN %1$s-----\n%2$s\n-----END %1$s-----\n".formatted(kind, base64);
    }

    @Override
    public void close() {
        server.stop(0);
        pods.stop(0);
    }
}
