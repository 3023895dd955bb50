package io.penstock.loader.source;

import io.penstock.model.ErrorCategory;
import io.penstock.model.PenstockException;
import java.io.ByteArrayInputStream;
import java.io.IOException;
import java.io.InputStream;
import java.net.URI;
import java.net.http.HttpRequest;
import java.net.http.HttpRequest.BodyPublisher;
import java.net.http.HttpRequest.BodyPublishers;
import java.nio.charset.StandardCharsets;
import java.nio.file.Files;
import java.nio.file.Path;
import java.util.Optional;
import java.util.function.Supplier;
import software.amazon.awssdk.http.SdkHttpMethod;
import software.amazon.awssdk.http.SdkHttpRequest;
import software.amazon.awssdk.http.auth.aws.signer.AwsV4HttpSigner;
import software.amazon.awssdk.identity.spi.AwsCredentialsIdentity;
import software.amazon.awssdk.identity.spi.AwsSessionCredentialsIdentity;
import software.amazon.awssdk.profiles.Profile;
import software.amazon.awssdk.profiles.ProfileFile;
import software.amazon.awssdk.profiles.ProfileProperty;

/// Who we are to a service that speaks S3, and where it is. Signs with the SDK's signer, version 4.
public final class S3Account {
    private static final AwsV4HttpSigner SIGNER = AwsV4HttpSigner.create();

    private final URI endpoint;
    private final String region;
    private final AwsCredentialsIdentity identity;

    /// @param endpoint buckets are paths below it; without a trailing slash
    public S3Account(URI endpoint, String region, String accessKey, String secretKey) {
        this(endpoint, region, AwsCredentialsIdentity.create(accessKey, secretKey));
    }

    private S3Account(URI endpoint, String region, AwsCredentialsIdentity identity) {
        this.endpoint = endpoint;
        this.region = region;
        this.identity = identity;
    }

    /// @param file in the form of `~/.aws/credentials`, with a session token or without; what renews keys
    ///     rewrites it
    /// @param profile its section
    /// @throws PenstockException UNAVAILABLE when file, section or keys cannot be read; the message names them
    public static S3Account read(URI endpoint, String region, Path file, String profile) {
        try {
            Profile section = ProfileFile.builder()
                    .content(Files.readString(file))
                    .type(ProfileFile.Type.CREDENTIALS)
                    .build()
                    .profile(profile)
                    .orElseThrow(() -> new IllegalArgumentException("it has no such section"));
            String access = required(section, ProfileProperty.AWS_ACCESS_KEY_ID);
            String secret = required(section, ProfileProperty.AWS_SECRET_ACCESS_KEY);
            AwsCredentialsIdentity identity = section.property(ProfileProperty.AWS_SESSION_TOKEN)
                    .<AwsCredentialsIdentity>map(token -> AwsSessionCredentialsIdentity.create(access, secret, token))
                    .orElseGet(() -> AwsCredentialsIdentity.create(access, secret));
            return new S3Account(endpoint, region, identity);
        } catch (IOException | IllegalArgumentException | IllegalStateException e) {
            throw new PenstockException(
                    ErrorCategory.UNAVAILABLE,
                    e,
                    "S3 credentials: section '%s' of %s cannot be read: %s",
                    profile,
                    file,
                    RemoteHttp.describe(e));
        }
    }

    private static String required(Profile section, String key) {
        return section.property(key).orElseThrow(() -> new IllegalArgumentException("it has no " + key));
    }

    /// @param target path and query, encoded
    /// @param headers name and value by turns; part of the signature
    /// @return a request without a body, signed now
    public HttpRequest signed(String method, String target, String... headers) {
        return signed(method, target, BodyPublishers.noBody(), Optional.empty(), headers);
    }

    /// A POST of a small XML document.
    public HttpRequest signedXml(String target, String xml, String... headers) {
        byte[] bytes = xml.getBytes(StandardCharsets.UTF_8);
        return signed(
                "POST",
                target,
                BodyPublishers.ofByteArray(bytes),
                Optional.of(() -> new ByteArrayInputStream(bytes)),
                headers);
    }

    /// A PUT of bytes. Over TLS they are not part of the signature, as `content-md5` among the headers is; else they
    /// are read once more for it.
    ///
    /// @param bytes the body's
    public HttpRequest signedPut(String target, BodyPublisher body, Supplier<InputStream> bytes, String... headers) {
        return signed("PUT", target, body, Optional.of(bytes), headers);
    }

    private HttpRequest signed(
            String method,
            String target,
            BodyPublisher body,
            Optional<Supplier<InputStream>> bytes,
            String... headers) {
        URI uri = URI.create(endpoint + target);
        SdkHttpRequest.Builder unsigned = SdkHttpRequest.builder().uri(uri).method(SdkHttpMethod.fromValue(method));
        for (int i = 0; i < headers.length; i += 2) {
            unsigned.putHeader(headers[i], headers[i + 1]);
        }
        SdkHttpRequest signed = SIGNER.sign(request -> {
                    request.identity(identity)
                            .request(unsigned.build())
                            .putProperty(AwsV4HttpSigner.SERVICE_SIGNING_NAME, "s3")
                            .putProperty(AwsV4HttpSigner.REGION_NAME, region)
                            .putProperty(
                                    AwsV4HttpSigner.PAYLOAD_SIGNING_ENABLED,
                                    !endpoint.getScheme().equals("https"))
                            // Names of objects are encoded once, and what looks like a step up in one is none.
                            .putProperty(AwsV4HttpSigner.DOUBLE_URL_ENCODE, false)
                            .putProperty(AwsV4HttpSigner.NORMALIZE_PATH, false);
                    bytes.ifPresent(given -> request.payload(given::get));
                })
                .request();
        HttpRequest.Builder request = HttpRequest.newBuilder(uri).method(method, body);
        signed.headers().forEach((name, values) -> {
            // The client sends these itself, in the same form.
            if (!name.equalsIgnoreCase("host") && !name.equalsIgnoreCase("content-length")) {
                values.forEach(value -> request.header(name, value));
            }
        });
        return request.build();
    }
}
