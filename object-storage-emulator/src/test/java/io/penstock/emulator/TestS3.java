package io.penstock.emulator;

import static org.assertj.core.api.Assertions.assertThat;
import static org.assertj.core.api.Assertions.assertThatThrownBy;

import java.io.IOException;
import java.net.URI;
import java.net.http.HttpClient;
import java.net.http.HttpRequest;
import java.net.http.HttpResponse.BodyHandlers;
import java.nio.file.Files;
import java.nio.file.Path;
import java.time.Clock;
import java.time.Duration;
import java.util.List;
import java.util.stream.Stream;
import org.assertj.core.api.ThrowableAssert.ThrowingCallable;
import org.junit.jupiter.api.AfterEach;
import org.junit.jupiter.api.BeforeEach;
import org.junit.jupiter.api.Test;
import org.junit.jupiter.api.io.TempDir;
import software.amazon.awssdk.auth.credentials.AwsBasicCredentials;
import software.amazon.awssdk.auth.credentials.StaticCredentialsProvider;
import software.amazon.awssdk.awscore.exception.AwsServiceException;
import software.amazon.awssdk.core.ResponseBytes;
import software.amazon.awssdk.core.retry.RetryMode;
import software.amazon.awssdk.core.sync.RequestBody;
import software.amazon.awssdk.http.SdkHttpMethod;
import software.amazon.awssdk.http.SdkHttpRequest;
import software.amazon.awssdk.http.auth.aws.signer.AwsV4HttpSigner;
import software.amazon.awssdk.http.auth.spi.signer.HttpSigner;
import software.amazon.awssdk.http.urlconnection.UrlConnectionHttpClient;
import software.amazon.awssdk.identity.spi.AwsCredentialsIdentity;
import software.amazon.awssdk.regions.Region;
import software.amazon.awssdk.services.s3.S3Client;
import software.amazon.awssdk.services.s3.S3Configuration;
import software.amazon.awssdk.services.s3.model.CompletedPart;
import software.amazon.awssdk.services.s3.model.GetObjectResponse;
import software.amazon.awssdk.services.s3.model.ListObjectsV2Response;
import software.amazon.awssdk.services.s3.model.MultipartUpload;
import software.amazon.awssdk.services.s3.model.Part;
import software.amazon.awssdk.services.s3.model.S3Object;

/// S3's API as AWS's own client uses it: whoever speaks to the emulator rightly speaks to the service rightly.
class TestS3 {
    private static final AccessKey KEY = AccessKey.generate();
    private static final String BUCKET = "models";
    private static final String NAME = "m/a & b+c/weights.bin";

    @TempDir
    Path folder;

    private Emulator emulator;
    private S3Client client;

    @BeforeEach
    void start() throws IOException {
        emulator = Emulator.start(folder.resolve("buckets"), 0);
        emulator.register(KEY);
        client = client(KEY);
        client.createBucket(request -> request.bucket(BUCKET));
    }

    private S3Client client(AccessKey key) {
        return S3Client.builder()
                .endpointOverride(emulator.endpoint())
                .region(Region.EU_CENTRAL_1)
                .httpClient(UrlConnectionHttpClient.create())
                .credentialsProvider(
                        StaticCredentialsProvider.create(AwsBasicCredentials.create(key.id(), key.secret())))
                .serviceConfiguration(S3Configuration.builder()
                        .pathStyleAccessEnabled(true)
                        .chunkedEncodingEnabled(false)
                        .build())
                .overrideConfiguration(options -> options.retryStrategy(RetryMode.STANDARD))
                .build();
    }

    @AfterEach
    void stop() {
        client.close();
        emulator.close();
    }

    @Test
    void anObjectIsPutReadInRangesListedAndDeleted() {
        String etag = client.putObject(put -> put.bucket(BUCKET).key(NAME), RequestBody.fromString("content"))
                .eTag();
        assertThat(etag).isEqualTo("\"9a0364b9e99bb480dd25e1f0284c8555\"");
        ResponseBytes<GetObjectResponse> some = client.getObjectAsBytes(
                get -> get.bucket(BUCKET).key(NAME).range("bytes=3-5").ifMatch(etag));
        assertThat(some.asUtf8String()).isEqualTo("ten");
        assertThat(some.response().eTag()).isEqualTo(etag);
        assertThatThrownBy(() ->
                        client.getObject(get -> get.bucket(BUCKET).key(NAME).ifMatch("\"other\"")))
                .satisfies(failure -> refused(failure, 412, "PreconditionFailed"));
        List<S3Object> listed = client.listObjectsV2(list -> list.bucket(BUCKET).prefix("m/a &"))
                .contents();
        assertThat(listed).extracting(S3Object::key).containsExactly(NAME);
        assertThat(listed.getFirst().size()).isEqualTo(7);
        assertThat(listed.getFirst().eTag()).isEqualTo(etag);
        client.deleteObject(delete -> delete.bucket(BUCKET).key(NAME));
        assertThatThrownBy(() -> client.getObject(get -> get.bucket(BUCKET).key(NAME)))
                .satisfies(failure -> refused(failure, 404, "NoSuchKey"));
        assertThatThrownBy(() -> client.listObjectsV2(list -> list.bucket("none")))
                .satisfies(failure -> refused(failure, 404, "NoSuchBucket"));
    }

    @Test
    void whatOneApiWritesTheOtherReads() throws IOException {
        emulator.putFile(BUCKET, NAME, Files.writeString(folder.resolve("file"), "content"));
        var head = client.headObject(request -> request.bucket(BUCKET).key(NAME).checksumMode("ENABLED"));
        assertThat(head.contentLength()).isEqualTo(7);
        assertThat(head.checksumCRC32C()).isEqualTo("Ya91Mw==");
        assertThat(client.headObject(request -> request.bucket(BUCKET).key(NAME))
                        .checksumCRC32C())
                .isNull();
    }

    @Test
    void pagesLinkUpAndSayWhenTheyEnd() {
        for (int i = 0; i < 5; i++) {
            String name = "m/" + i;
            client.putObject(put -> put.bucket(BUCKET).key(name), RequestBody.fromString(name));
        }
        ListObjectsV2Response first =
                client.listObjectsV2(list -> list.bucket(BUCKET).maxKeys(3));
        assertThat(first.isTruncated()).isTrue();
        ListObjectsV2Response second = client.listObjectsV2(
                list -> list.bucket(BUCKET).maxKeys(3).continuationToken(first.nextContinuationToken()));
        assertThat(second.isTruncated()).isFalse();
        assertThat(Stream.concat(first.contents().stream(), second.contents().stream())
                        .map(S3Object::key))
                .containsExactly("m/0", "m/1", "m/2", "m/3", "m/4");
    }

    @Test
    void partsAreListedReplacedJoinedInOrderAndAbandoned() {
        String upload = client.createMultipartUpload(
                        create -> create.bucket(BUCKET).key(NAME))
                .uploadId();
        String second = part(upload, 2, "two");
        part(upload, 1, "one");
        String first = part(upload, 1, "ONE");
        assertThat(client.listMultipartUploads(list -> list.bucket(BUCKET).prefix("m/"))
                        .uploads())
                .extracting(MultipartUpload::key)
                .containsExactly(NAME);
        var page = client.listParts(
                list -> list.bucket(BUCKET).key(NAME).uploadId(upload).maxParts(1));
        assertThat(page.parts()).extracting(Part::eTag).containsExactly(first);
        assertThat(page.isTruncated()).isTrue();
        assertThat(client.listParts(list -> list.bucket(BUCKET)
                                .key(NAME)
                                .uploadId(upload)
                                .partNumberMarker(page.nextPartNumberMarker()))
                        .parts())
                .extracting(Part::partNumber)
                .containsExactly(2);
        assertThatThrownBy(() -> complete(upload, second, first))
                .satisfies(failure -> refused(failure, 400, "InvalidPart"));
        complete(upload, first, second);
        assertThat(client.getObjectAsBytes(get -> get.bucket(BUCKET).key(NAME)).asUtf8String())
                .isEqualTo("ONEtwo");
        assertThatThrownBy(() -> complete(upload, first, second))
                .satisfies(failure -> refused(failure, 404, "NoSuchUpload"));

        String other = client.createMultipartUpload(
                        create -> create.bucket(BUCKET).key("m/x"))
                .uploadId();
        client.abortMultipartUpload(abort -> abort.bucket(BUCKET).key("m/x").uploadId(other));
        assertThat(client.listMultipartUploads(list -> list.bucket(BUCKET)).uploads())
                .isEmpty();
    }

    private String part(String upload, int number, String text) {
        return client.uploadPart(
                        put -> put.bucket(BUCKET).key(NAME).uploadId(upload).partNumber(number),
                        RequestBody.fromString(text))
                .eTag();
    }

    private void complete(String upload, String first, String second) {
        client.completeMultipartUpload(request -> request.bucket(BUCKET)
                .key(NAME)
                .uploadId(upload)
                .multipartUpload(parts -> parts.parts(
                        CompletedPart.builder().partNumber(1).eTag(first).build(),
                        CompletedPart.builder().partNumber(2).eTag(second).build())));
    }

    @Test
    void aKeyThatIsWrongUnknownOrRevokedIsRefused() {
        assertRefused(new AccessKey(KEY.id(), "wrong"), "SignatureDoesNotMatch");
        assertRefused(new AccessKey("unknown", KEY.secret()), "InvalidAccessKeyId");
        emulator.revoke(KEY);
        assertRefused(KEY, "InvalidAccessKeyId");
    }

    private void assertRefused(AccessKey key, String code) {
        try (S3Client other = client(key)) {
            ThrowingCallable list = () -> other.listObjectsV2(request -> request.bucket(BUCKET));
            assertThatThrownBy(list).satisfies(failure -> refused(failure, 403, code));
        }
    }

    private static void refused(Throwable failure, int status, String code) {
        assertThat(failure).isInstanceOfSatisfying(AwsServiceException.class, refusal -> {
            assertThat(refusal.statusCode()).isEqualTo(status);
            assertThat(refusal.awsErrorDetails().errorCode()).isEqualTo(code);
        });
    }

    @Test
    void whatIsAlteredAfterItsSigningIsRefused() throws Exception {
        assertThat(status("/models?list-type=2", "/models?list-type=2", "", "", Duration.ZERO))
                .isEqualTo(200);
        assertThat(status("/models?list-type=2", "/models?list-type=2&prefix=m", "", "", Duration.ZERO))
                .isEqualTo(403);
        assertThat(status("/models?list-type=2", "/models?list-type=2", "", "", Duration.ofMinutes(20)))
                .isEqualTo(403);
        assertThat(status("/models/m", "/models/m", "content", "content", Duration.ZERO))
                .isEqualTo(200);
        assertThat(status("/models/m", "/models/m", "content", "CONTENT", Duration.ZERO))
                .isEqualTo(400);
        assertThat(status("/models/m", "/models/other", "content", "content", Duration.ZERO))
                .isEqualTo(403);
    }

    /// @param body none for a GET
    private int status(String signedTarget, String target, String signedBody, String body, Duration late)
            throws Exception {
        SdkHttpMethod method = body.isEmpty() ? SdkHttpMethod.GET : SdkHttpMethod.PUT;
        SdkHttpRequest signed = AwsV4HttpSigner.create()
                .sign(request -> request.identity(AwsCredentialsIdentity.create(KEY.id(), KEY.secret()))
                        .request(SdkHttpRequest.builder()
                                .uri(URI.create(emulator.endpoint() + signedTarget))
                                .method(method)
                                .build())
                        .payload(RequestBody.fromString(signedBody).contentStreamProvider())
                        .putProperty(AwsV4HttpSigner.SERVICE_SIGNING_NAME, "s3")
                        .putProperty(AwsV4HttpSigner.REGION_NAME, "x")
                        .putProperty(HttpSigner.SIGNING_CLOCK, Clock.offset(Clock.systemUTC(), late.negated()))
                        .putProperty(AwsV4HttpSigner.DOUBLE_URL_ENCODE, false)
                        .putProperty(AwsV4HttpSigner.NORMALIZE_PATH, false))
                .request();
        HttpRequest.Builder request = HttpRequest.newBuilder(URI.create(emulator.endpoint() + target))
                .method(method.name(), HttpRequest.BodyPublishers.ofString(body));
        signed.headers().forEach((name, values) -> {
            if (!name.equalsIgnoreCase("host")) {
                request.header(name, values.getFirst());
            }
        });
        try (HttpClient http = HttpClient.newHttpClient()) {
            return http.send(request.build(), BodyHandlers.discarding()).statusCode();
        }
    }
}
