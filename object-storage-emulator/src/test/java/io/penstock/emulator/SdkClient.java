package io.penstock.emulator;

import com.oracle.bmc.auth.SimpleAuthenticationDetailsProvider;
import com.oracle.bmc.http.signing.DefaultRequestSigner;
import com.oracle.bmc.http.signing.RequestSigner;
import com.oracle.bmc.http.signing.SigningStrategy;
import java.io.ByteArrayInputStream;
import java.io.IOException;
import java.io.UncheckedIOException;
import java.net.URI;
import java.net.http.HttpClient;
import java.net.http.HttpRequest;
import java.net.http.HttpRequest.BodyPublishers;
import java.net.http.HttpResponse;
import java.net.http.HttpResponse.BodyHandlers;
import java.nio.charset.StandardCharsets;
import java.nio.file.Files;
import java.nio.file.Path;
import java.util.ArrayList;
import java.util.HashMap;
import java.util.List;
import java.util.Map;

/// Requests as OCI's own SDK signs them, sent by the JDK's client.
final class SdkClient implements AutoCloseable {
    private final HttpClient http = HttpClient.newHttpClient();
    private final URI endpoint;
    private final RequestSigner signer;
    private final RequestSigner streamSigner;

    /// @param config as [Credentials#writeConfigFile] made it
    SdkClient(URI endpoint, Path config) throws IOException {
        this.endpoint = endpoint;
        var file = com.oracle.bmc.ConfigFileReader.parse(config.toString());
        byte[] key = Files.readAllBytes(Path.of(file.get("key_file")));
        var provider = SimpleAuthenticationDetailsProvider.builder()
                .tenantId(file.get("tenancy"))
                .userId(file.get("user"))
                .fingerprint(file.get("fingerprint"))
                .privateKeySupplier(() -> new ByteArrayInputStream(key))
                .build();
        signer = DefaultRequestSigner.createRequestSigner(provider);
        streamSigner = DefaultRequestSigner.createRequestSigner(provider, SigningStrategy.EXCLUDE_BODY);
    }

    /// @param headers name and value by turns, sent with the request; of these only OCI's usual ones are
    ///     signed
    HttpRequest.Builder signed(String method, String target, String body, String... headers) {
        boolean streamed = method.equals("PUT");
        URI uri = URI.create(endpoint + target);
        Map<String, List<String>> known = new HashMap<>();
        if (body != null && !streamed) {
            known.put("content-type", List.of("application/json"));
        }
        Map<String, String> signed =
                (streamed ? streamSigner : signer).signRequest(uri, method, known, streamed ? null : body);
        HttpRequest.Builder request = HttpRequest.newBuilder(uri)
                .method(method, body == null ? BodyPublishers.noBody() : BodyPublishers.ofString(body));
        signed.forEach((name, value) -> {
            if (!name.equalsIgnoreCase("host") && !name.equalsIgnoreCase("content-length")) {
                request.setHeader(name, value);
            }
        });
        if (body != null && !streamed) {
            request.setHeader("content-type", "application/json");
        }
        for (int i = 0; i < headers.length; i += 2) {
            request.setHeader(headers[i], headers[i + 1]);
        }
        return request;
    }

    HttpResponse<byte[]> send(String method, String target, String body, String... headers) {
        return send(signed(method, target, body, headers).build());
    }

    HttpResponse<byte[]> send(HttpRequest request) {
        try {
            return http.send(request, BodyHandlers.ofByteArray());
        } catch (IOException e) {
            throw new UncheckedIOException(e);
        } catch (InterruptedException e) {
            throw new IllegalStateException(e);
        }
    }

    static String text(HttpResponse<byte[]> response) {
        return new String(response.body(), StandardCharsets.UTF_8);
    }

    static List<String> headers(HttpRequest request, String without) {
        List<String> pairs = new ArrayList<>();
        request.headers().map().forEach((name, values) -> {
            if (!name.equalsIgnoreCase(without)) {
                pairs.add(name);
                pairs.add(values.getFirst());
            }
        });
        return pairs;
    }

    @Override
    public void close() {
        http.close();
    }
}
