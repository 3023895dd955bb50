package io.penstock.loader.source;

import com.oracle.bmc.ConfigFileReader;
import com.oracle.bmc.auth.BasicAuthenticationDetailsProvider;
import com.oracle.bmc.auth.InstancePrincipalsAuthenticationDetailsProvider;
import com.oracle.bmc.auth.RegionProvider;
import com.oracle.bmc.auth.ResourcePrincipalAuthenticationDetailsProvider;
import com.oracle.bmc.auth.SimpleAuthenticationDetailsProvider;
import com.oracle.bmc.auth.okeworkloadidentity.OkeWorkloadIdentityAuthenticationDetailsProvider;
import com.oracle.bmc.http.signing.DefaultRequestSigner;
import com.oracle.bmc.http.signing.RequestSigner;
import com.oracle.bmc.http.signing.SigningStrategy;
import com.oracle.bmc.model.BmcException;
import io.penstock.model.ErrorCategory;
import io.penstock.model.PenstockException;
import java.io.ByteArrayInputStream;
import java.io.IOException;
import java.net.URI;
import java.net.http.HttpRequest;
import java.net.http.HttpRequest.BodyPublisher;
import java.net.http.HttpRequest.BodyPublishers;
import java.nio.file.Files;
import java.nio.file.Path;
import java.util.List;
import java.util.Locale;
import java.util.Map;
import java.util.Optional;

/// Who we are to OCI: an API key of an OCI config file, and the endpoint of its region. Signs with the
/// SDK's signer.
public final class OciAccount {
    private static final int METADATA_RETRIES = 2;
    private static final int METADATA_MILLIS = 5_000;
    private static final String JSON = "application/json";
    // The service takes one for five minutes.
    private static final long SIGNATURE_NANOS = 20_000_000_000L;

    /// Empty for pre-authenticated requests: their address is the right to read.
    private final Optional<Signers> signers;

    private final URI endpoint;
    private volatile Signature lastGet;

    private record Signature(URI uri, long made, Map<String, String> headers) {}

    private OciAccount(Optional<Signers> signers, URI endpoint) {
        this.signers = signers;
        this.endpoint = endpoint;
    }

    /// @param streaming leaves bodies out of the signature, as PutObject and UploadPart want it
    private record Signers(RequestSigner standard, RequestSigner streaming) {
        static Optional<Signers> of(BasicAuthenticationDetailsProvider provider) {
            return Optional.of(new Signers(
                    DefaultRequestSigner.createRequestSigner(provider),
                    DefaultRequestSigner.createRequestSigner(provider, SigningStrategy.EXCLUDE_BODY)));
        }
    }

    /// @param granted scheme, host and `/p/<token>` of a pre-authenticated request that allows listing
    public static OciAccount preauthenticated(URI granted) {
        return new OciAccount(Optional.empty(), granted);
    }

    /// Where a principal finds what it needs, where that is not where it usually is.
    ///
    /// @param storage replaces Object Storage's endpoint of the region that we run in
    /// @param federation replaces that region's endpoint where instances get their tokens; then
    ///     `storage` is needed, too
    /// @param serviceAccountToken file with the pod's token
    public record Places(Optional<URI> storage, Optional<URI> federation, Optional<Path> serviceAccountToken) {}

    /// The identity that the cloud gives to what runs there; its tokens are fetched and renewed by the SDK.
    ///
    /// @throws PenstockException UNAVAILABLE where there is no such identity
    public static OciAccount principal(Principal principal, Places places) {
        try {
            BasicAuthenticationDetailsProvider provider = switch (principal) {
                case INSTANCE -> {
                    var builder = InstancePrincipalsAuthenticationDetailsProvider.builder()
                            // Its own patience with a metadata service that is not there are many minutes.
                            .detectEndpointRetries(METADATA_RETRIES)
                            .timeoutForEachRetry(METADATA_MILLIS);
                    places.federation().ifPresent(uri -> builder.federationEndpoint(uri.toString()));
                    yield builder.build();
                }
                case RESOURCE ->
                    ResourcePrincipalAuthenticationDetailsProvider.builder().build();
                case WORKLOAD -> {
                    var builder = OkeWorkloadIdentityAuthenticationDetailsProvider.builder()
                            .detectEndpointRetries(METADATA_RETRIES)
                            .timeoutForEachRetry(METADATA_MILLIS);
                    places.serviceAccountToken().ifPresent(file -> builder.tokenPath(file.toString()));
                    yield builder.build();
                }
            };
            URI address = places.storage()
                    .orElseGet(() ->
                            regional(((RegionProvider) provider).getRegion().getRegionId()));
            return new OciAccount(Signers.of(provider), address);
        } catch (BmcException | IllegalArgumentException | IllegalStateException | NullPointerException e) {
            throw new PenstockException(
                    ErrorCategory.UNAVAILABLE,
                    e,
                    "OCI credentials: there is no %s principal here: %s",
                    principal.name().toLowerCase(Locale.ROOT),
                    RemoteHttp.describe(e));
        }
    }

    /// What kind of identity the cloud gives us.
    public enum Principal {
        /// That of the instance, through its metadata service.
        INSTANCE,
        /// That of a function or another resource, through its environment.
        RESOURCE,
        /// That of the pod's service account, on an enhanced OKE cluster.
        WORKLOAD
    }

    private static URI regional(String region) {
        return URI.create("https://objectstorage.%s.oraclecloud.com".formatted(region));
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
            URI address = endpoint.orElseGet(() -> regional(required(file, configFile, profile, "region")));
            return new OciAccount(Signers.of(provider), address);
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

    /// @param method of a request without a body
    /// @param target path and query, encoded
    /// @param headers name and value by turns; not part of the signature
    /// @return signed now, valid for five minutes
    public HttpRequest signed(String method, String target, String... headers) {
        return request(method, target, BodyPublishers.noBody(), headers, Optional.empty());
    }

    /// A POST whose JSON body is part of the signature.
    public HttpRequest signedJson(String target, String json, String... headers) {
        return request("POST", target, BodyPublishers.ofString(json), headers, Optional.of(json));
    }

    /// A PUT of bytes whose checksum is in the headers; the signature leaves them out.
    public HttpRequest signedPut(String target, BodyPublisher body, String... headers) {
        return request("PUT", target, body, headers, Optional.empty());
    }

    private HttpRequest request(
            String method, String target, BodyPublisher body, String[] headers, Optional<String> json) {
        URI uri = URI.create(endpoint + target);
        HttpRequest.Builder request = HttpRequest.newBuilder(uri).method(method, body);
        for (int i = 0; i < headers.length; i += 2) {
            request.header(headers[i], headers[i + 1]);
        }
        json.ifPresent(_ -> request.setHeader("content-type", JSON));
        signers.ifPresent(given -> signature(given, uri, method, json).forEach((name, value) -> {
            // The client sends these two itself, in the same form.
            if (!name.equalsIgnoreCase("host") && !name.equalsIgnoreCase("content-length")) {
                request.setHeader(name, value);
            }
        }));
        return request.build();
    }

    private Map<String, String> signature(Signers given, URI uri, String method, Optional<String> json) {
        if (method.equals("GET")) {
            return shared(given.standard(), uri);
        }
        RequestSigner signer = method.equals("PUT") ? given.streaming() : given.standard();
        Map<String, List<String>> described = json.isPresent() ? Map.of("content-type", List.of(JSON)) : Map.of();
        return sign(signer, uri, method, described, json.orElse(null));
    }

    /// @throws PenstockException (unavailable) where the cloud gives no token: that is asked for when the
    ///     first request is signed, and again when it ends
    private static Map<String, String> sign(
            RequestSigner signer, URI uri, String method, Map<String, List<String>> headers, String body) {
        try {
            return signer.signRequest(uri, method, headers, body);
        } catch (BmcException | IllegalStateException e) {
            throw new PenstockException(
                    ErrorCategory.UNAVAILABLE,
                    e,
                    "OCI credentials: no token to sign requests to %s with: %s",
                    uri.getHost(),
                    RemoteHttp.describe(e));
        }
    }

    /// A signature is over method, target, host and time and not over the range, so that all ranges of a file share
    /// one for a while: making one costs more than the bytes of a part. Credentials that are read anew make another
    /// account.
    private Map<String, String> shared(RequestSigner signer, URI uri) {
        Signature last = lastGet;
        if (last == null || !last.uri().equals(uri) || System.nanoTime() - last.made() > SIGNATURE_NANOS) {
            last = new Signature(uri, System.nanoTime(), sign(signer, uri, "GET", Map.of(), null));
            lastGet = last;
        }
        return last.headers();
    }
}
