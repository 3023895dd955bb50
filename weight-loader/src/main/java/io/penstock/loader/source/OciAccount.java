package io.penstock.loader.source;

import com.oracle.bmc.ConfigFileReader;
import com.oracle.bmc.auth.SimpleAuthenticationDetailsProvider;
import com.oracle.bmc.http.signing.DefaultRequestSigner;
import com.oracle.bmc.http.signing.RequestSigner;
import io.penstock.model.ErrorCategory;
import io.penstock.model.PenstockException;
import java.io.ByteArrayInputStream;
import java.io.IOException;
import java.net.URI;
import java.net.http.HttpRequest;
import java.nio.file.Files;
import java.nio.file.Path;
import java.util.Map;
import java.util.Optional;

/// Who we are to OCI: an API key of an OCI config file, and the endpoint of its region. Signs with the
/// SDK's signer.
public final class OciAccount {
    private final RequestSigner signer;
    private final URI endpoint;

    private OciAccount(RequestSigner signer, URI endpoint) {
        this.signer = signer;
        this.endpoint = endpoint;
    }

    /// @param configFile in the form of `~/.oci/config`
    /// @param profile its section
    /// @param endpoint replaces the region's own
    /// @throws PenstockException UNAVAILABLE when file, profile or key cannot be read; the message names
    ///     them
    public static OciAccount read(Path configFile, String profile, Optional<URI> endpoint) {
        try {
            ConfigFileReader.ConfigFile file = ConfigFileReader.parse(configFile.toString(), profile);
            byte[] key = Files.readAllBytes(home(required(file, configFile, profile, "key_file")));
            SimpleAuthenticationDetailsProvider provider = SimpleAuthenticationDetailsProvider.builder()
                    .tenantId(required(file, configFile, profile, "tenancy"))
                    .userId(required(file, configFile, profile, "user"))
                    .fingerprint(required(file, configFile, profile, "fingerprint"))
                    .passPhrase(file.get("pass_phrase"))
                    .privateKeySupplier(() -> new ByteArrayInputStream(key))
                    .build();
            URI address = endpoint.orElseGet(() -> URI.create("https://objectstorage.%s.oraclecloud.com"
                    .formatted(required(file, configFile, profile, "region"))));
            return new OciAccount(DefaultRequestSigner.createRequestSigner(provider), address);
        } catch (IOException | IllegalArgumentException | NullPointerException e) {
            throw new PenstockException(
                    ErrorCategory.UNAVAILABLE,
                    e,
                    "OCI credentials: profile '%s' of %s cannot be read: %s",
                    profile,
                    configFile,
                    RemoteHttp.describe(e));
        }
    }

    private static String required(ConfigFileReader.ConfigFile file, Path path, String profile, String key) {
        String value = file.get(key);
        if (value == null || value.isBlank()) {
            throw new PenstockException(
                    ErrorCategory.UNAVAILABLE, "OCI credentials: profile '%s' of %s has no '%s'", profile, path, key);
        }
        return value;
    }

    private static Path home(String path) {
        return Path.of(path.startsWith("~/") ? System.getProperty("user.home") + path.substring(1) : path);
    }

    /// @param method GET or HEAD
    /// @param target path and query, encoded
    /// @param headers name and value by turns; not part of the signature
    /// @return signed now, valid for five minutes
    HttpRequest signed(String method, String target, String... headers) {
        URI uri = URI.create(endpoint + target);
        HttpRequest.Builder request = HttpRequest.newBuilder(uri).method(method, HttpRequest.BodyPublishers.noBody());
        for (int i = 0; i < headers.length; i += 2) {
            request.header(headers[i], headers[i + 1]);
        }
        signer.signRequest(uri, method, Map.of(), null).forEach((name, value) -> {
            // The client sends the host itself, in the same form.
            if (!name.equalsIgnoreCase("host")) {
                request.setHeader(name, value);
            }
        });
        return request.build();
    }
}
