package io.penstock.loader.push;

import static org.assertj.core.api.Assertions.assertThat;
import static org.assertj.core.api.Assertions.assertThatThrownBy;

import io.micrometer.core.instrument.simple.SimpleMeterRegistry;
import io.opentelemetry.api.trace.Tracer;
import io.penstock.emulator.AccessKey;
import io.penstock.emulator.Credentials;
import io.penstock.emulator.Emulator;
import io.penstock.emulator.Fault;
import io.penstock.emulator.ObjectWrite;
import io.penstock.emulator.ObjectWrite.Step;
import io.penstock.loader.SpanRecord;
import io.penstock.loader.catalog.SourceAddress;
import io.penstock.loader.source.BucketFolder;
import io.penstock.loader.source.OciAccount;
import io.penstock.loader.source.OciSource;
import io.penstock.loader.source.RemoteFile;
import io.penstock.loader.source.RemoteHttp;
import io.penstock.loader.source.Renewable;
import io.penstock.loader.source.S3Account;
import io.penstock.loader.source.S3Source;
import io.penstock.loader.source.Snapshot;
import io.penstock.loader.source.Source;
import io.penstock.loader.source.Web;
import io.penstock.loader.transfer.LoaderMetrics;
import io.penstock.loader.verify.Checksum;
import io.penstock.loader.verify.Manifest;
import io.penstock.model.ErrorCategory;
import io.penstock.model.PenstockException;
import java.io.IOException;
import java.io.UncheckedIOException;
import java.net.URI;
import java.net.http.HttpResponse.BodyHandlers;
import java.nio.file.Files;
import java.nio.file.Path;
import java.nio.file.attribute.FileTime;
import java.time.Duration;
import java.time.Instant;
import java.util.List;
import java.util.Map;
import java.util.Optional;
import java.util.Random;
import java.util.concurrent.CompletableFuture;
import java.util.concurrent.TimeUnit;
import java.util.function.Predicate;
import java.util.stream.Stream;
import org.junit.jupiter.api.AfterEach;
import org.junit.jupiter.api.BeforeEach;
import org.junit.jupiter.api.Test;
import org.junit.jupiter.api.Timeout;
import org.junit.jupiter.api.io.TempDir;
import org.junit.jupiter.params.ParameterizedTest;
import org.junit.jupiter.params.provider.Arguments;
import org.junit.jupiter.params.provider.MethodSource;

/// A checkpoint that is pushed comes back bit for bit, whatever happens on the way; and never looks whole before it is.
@Timeout(value = 120, threadMode = Timeout.ThreadMode.SEPARATE_THREAD)
abstract class PushContract {
    static final int PIECE = 1 << 16;
    private static final int PARTS = 9;
    private static final int SIZE = (PARTS - 1) * PIECE + 77;
    private static final String SMALL = "{\"a\": 1}";

    /// One for all tests: making a key takes long.
    private static final Credentials CREDENTIALS = Credentials.generate();

    private static final AccessKey KEY = AccessKey.generate();

    @TempDir
    Path folder;

    private final Api api;
    private final byte[] content = new byte[SIZE];
    private final SpanRecord spans = new SpanRecord();
    private final SimpleMeterRegistry registry = new SimpleMeterRegistry();
    Path model;
    private Path config;
    Emulator emulator;
    private Web web;
    RemoteHttp http;
    private Push push;

    /// By which API the bucket is reached.
    enum Api {
        OCI("oci://" + Emulator.NAMESPACE + "/models/"),
        S3("s3://models/");

        private final String bucket;

        Api(String bucket) {
            this.bucket = bucket;
        }

        SourceAddress target(String prefix) {
            return SourceAddress.parse("push", bucket + prefix);
        }
    }

    PushContract(Api api) {
        this.api = api;
    }

    @BeforeEach
    void start() throws IOException {
        new Random(1).nextBytes(content);
        model = Files.createDirectories(folder.resolve("root/model/sub")).getParent();
        Files.write(model.resolve("weights.safetensors"), content);
        Files.writeString(model.resolve("sub/config.json"), SMALL);
        Files.createFile(model.resolve("empty"));
        Files.writeString(model.resolve(".hidden"), "not for others");
        emulator = Emulator.start(folder.resolve("buckets"), 0);
        emulator.createBucket("models");
        emulator.register(CREDENTIALS);
        emulator.register(KEY);
        config = CREDENTIALS.writeConfigFile(folder.resolve("oci"), "x");
        Files.writeString(config.resolveSibling("credentials"), """
                [default]
                aws_access_key_id = %s
                aws_secret_access_key = %s
                """.formatted(KEY.id(), KEY.secret()));
        LoaderMetrics metrics = new LoaderMetrics(registry);
        web = Web.open(4, metrics::retry);
        http = web.http();
        push = push(http, metrics, emulator.endpoint(), config, Optional.of(folder.resolve("root")), spans.tracer());
    }

    static Push push(
            RemoteHttp http, LoaderMetrics metrics, URI endpoint, Path config, Optional<Path> root, Tracer tracer) {
        return new Push(
                http,
                account(endpoint, config),
                s3Account(endpoint, config),
                new PushSettings(root, PIECE, PIECE, 4, Duration.ofMillis(500)),
                metrics,
                tracer);
    }

    private static Renewable<OciAccount> account(URI endpoint, Path config) {
        return new Renewable<>(() -> OciAccount.read(config, "DEFAULT", Optional.of(endpoint)));
    }

    private static Renewable<S3Account> s3Account(URI endpoint, Path config) {
        return new Renewable<>(() -> S3Account.read(endpoint, "x", config.resolveSibling("credentials"), "default"));
    }

    @AfterEach
    void stop() {
        web.close();
        emulator.close();
    }

    Push.Result push() {
        return push.run(model, api.target("m"), (_, _) -> {});
    }

    private BucketFolder bucket() {
        return switch (api) {
            case OCI -> BucketFolder.oci(Emulator.NAMESPACE, "models", "m");
            case S3 -> BucketFolder.s3("models", "m");
        };
    }

    private Source source() {
        return switch (api) {
            case OCI -> new OciSource(http, account(emulator.endpoint(), config), bucket());
            case S3 -> new S3Source(http, s3Account(emulator.endpoint(), config), bucket());
        };
    }

    @Test
    void whatIsPushedComesBackAsOneRevisionWithItsChecksums() throws Exception {
        Push.Result result = push();
        assertThat(result.files()).isEqualTo(3);
        assertThat(result.sent()).isEqualTo(SIZE + SMALL.length());
        assertThat(result.there()).isZero();
        assertIntact(result.revision());
        assertThat(registry.counter("penstock.loader.pushed.bytes").count()).isEqualTo((double) result.sent());

        Map<String, Object> span = spans.spans("weights.push").stream()
                .map(SpanRecord::attributes)
                .filter(found -> found.get("penstock.file").equals("weights.safetensors"))
                .findFirst()
                .orElseThrow();
        assertThat(span)
                .containsEntry("penstock.file.size", (long) SIZE)
                .containsEntry("penstock.target", bucket().place() + "/m/weights.safetensors")
                .containsEntry("penstock.file.bytes_sent", (long) SIZE)
                .containsEntry("penstock.file.bytes_there", 0L);

        // Again: nothing is sent, and the revision is the same.
        Push.Result again = push();
        assertThat(again.sent()).isZero();
        assertThat(again.there()).isEqualTo(SIZE + SMALL.length());
        assertThat(again.revision()).isEqualTo(result.revision());
    }

    @Test
    void onlyAFileThatHasChangedIsSentAgain() throws Exception {
        String first = push().revision();
        content[SIZE - 1]++;
        Files.write(model.resolve("weights.safetensors"), content);
        Push.Result second = push();
        assertThat(second.sent()).isEqualTo(SIZE);
        assertThat(second.there()).isEqualTo(SMALL.length());
        assertThat(second.revision()).isNotEqualTo(first);
        assertIntact(second.revision());
    }

    /// The fault, and the step that it strikes.
    static Stream<Arguments> faults() {
        return Stream.of(
                        new Fault.Refusal(503, Optional.of(Duration.ofSeconds(1))),
                        new Fault.Refusal(429, Optional.empty()),
                        new Fault.Refusal(500, Optional.empty()),
                        new Fault.Reset(-1),
                        // The answer is lost: it has been done, and is asked for again.
                        new Fault.Reset(0),
                        new Fault.Corruption(3),
                        new Fault.Stall(0),
                        new Fault.Latency(Duration.ofMillis(60)),
                        new Fault.ExpiredCredentials())
                .flatMap(fault -> Stream.of(Step.values()).map(step -> Arguments.of(fault, step)))
                // A request without a body of bytes has none to get wrong; its own time limit is half a minute.
                .filter(arguments -> arguments.get()[1] != Step.COMMIT
                        || !(arguments.get()[0] instanceof Fault.Corruption
                                || arguments.get()[0] instanceof Fault.Stall));
    }

    @ParameterizedTest
    @MethodSource("faults")
    void aFaultCostsARetryAndNoByte(Fault fault, Step step) throws Exception {
        emulator.faults().injectWrite(fault, 1, ofFiles(step));
        assertIntact(push().revision());
        assertThat(emulator.faults().struck()).isEqualTo(1);
        assertThat(uploadsLeft()).isZero();
    }

    @Test
    void everyPairOfFaultsToo() throws Exception {
        List<Fault> faults = List.of(
                new Fault.Refusal(503, Optional.empty()),
                new Fault.Reset(-1),
                new Fault.Reset(0),
                new Fault.Corruption(3),
                new Fault.ExpiredCredentials());
        int struck = 0;
        for (Fault one : faults) {
            for (Fault other : faults) {
                emulator.faults().clear();
                content[0]++;
                Files.write(model.resolve("weights.safetensors"), content);
                emulator.faults().injectWrite(one, 1, write -> write.step() == Step.PART && write.part() == 2);
                emulator.faults().injectWrite(other, 1, write -> write.step() == Step.PART && write.part() <= 2);
                assertIntact(push().revision());
                assertThat(emulator.faults().struck())
                        .as("%s and %s", one, other)
                        .isEqualTo(struck += 2);
            }
        }
    }

    private static Predicate<ObjectWrite> ofFiles(Step step) {
        return write -> write.step() == step && !write.object().endsWith(Manifest.NAME);
    }

    @Test
    void bytesThatNeverArriveRightMakeNoRevision() {
        emulator.faults().injectWrite(new Fault.Corruption(0), Integer.MAX_VALUE, ofFiles(Step.PART));
        assertThatThrownBy(this::push)
                .isInstanceOfSatisfying(
                        PenstockException.class,
                        failure -> assertThat(failure.category()).isEqualTo(ErrorCategory.CORRUPT))
                .hasMessageContaining("weights.safetensors part");
        assertThat(source().resolve("m", "").files())
                .extracting(file -> file.name().value())
                .doesNotContain("weights.safetensors");
    }

    @Test
    void aPushThatFailedGoesOnWithThePartsThatAreThere() throws Exception {
        emulator.faults()
                .injectWrite(
                        new Fault.Refusal(500, Optional.empty()), Integer.MAX_VALUE, write -> write.part() == PARTS);
        assertThatThrownBy(this::push).isInstanceOf(PenstockException.class);
        assertThat(uploadsLeft()).isEqualTo(1);
        emulator.faults().clear();
        Push.Result result = push();
        assertThat(result.there()).isGreaterThanOrEqualTo((PARTS - 4L) * PIECE);
        assertThat(result.sent() + result.there()).isEqualTo(SIZE + SMALL.length());
        assertIntact(result.revision());
        assertThat(uploadsLeft()).isZero();
    }

    @Test
    void partsOfAnotherVersionAreNotGoneOnWith() throws Exception {
        emulator.faults()
                .injectWrite(
                        new Fault.Refusal(500, Optional.empty()), Integer.MAX_VALUE, write -> write.part() == PARTS);
        assertThatThrownBy(this::push).isInstanceOf(PenstockException.class);
        emulator.faults().clear();
        content[PIECE + 1]++;
        Files.write(model.resolve("weights.safetensors"), content);
        Push.Result result = push();
        assertThat(result.sent()).isGreaterThanOrEqualTo(PIECE);
        assertIntact(result.revision());
    }

    @Test
    void whatIsAbandonedLeavesNothingHalf() throws Exception {
        emulator.faults()
                .injectWrite(
                        new Fault.Refusal(500, Optional.empty()), Integer.MAX_VALUE, write -> write.part() == PARTS);
        assertThatThrownBy(this::push).isInstanceOf(PenstockException.class);
        assertThat(push.abandon(api.target("other"))).isZero();
        assertThat(push.abandon(api.target("m"))).isEqualTo(1);
        assertThat(uploadsLeft()).isZero();
    }

    @Test
    void aProcessThatIsKilledLosesNoPartThatHasArrived() throws Exception {
        emulator.faults().injectWrite(new Fault.Latency(Duration.ofMillis(40)), Integer.MAX_VALUE, ofFiles(Step.PART));
        Process process = new ProcessBuilder(
                        Path.of(System.getProperty("java.home"), "bin", "java").toString(),
                        "-XX:TieredStopAtLevel=1",
                        "-XX:+UseSerialGC",
                        "-cp",
                        System.getProperty("java.class.path"),
                        KilledPush.class.getName(),
                        emulator.endpoint().toString(),
                        config.toString(),
                        folder.resolve("root").toString(),
                        model.toString(),
                        api.name())
                .redirectErrorStream(true)
                .redirectOutput(folder.resolve("push.log").toFile())
                .start();
        try {
            while (partsLeft() < 3) {
                assertThat(process.waitFor(5, TimeUnit.MILLISECONDS))
                        .as(() -> read(folder.resolve("push.log")))
                        .isFalse();
            }
        } finally {
            process.destroyForcibly().waitFor();
        }
        assertThat(source().resolve("m", "").files())
                .extracting(file -> file.name().value())
                .doesNotContain("weights.safetensors");
        emulator.faults().clear();
        Push.Result result = push();
        assertThat(result.there()).isGreaterThanOrEqualTo(3L * PIECE);
        assertIntact(result.revision());
        assertThat(uploadsLeft()).isZero();
    }

    /// What a killed process has sent may arrive when the next one has looked at the parts already.
    @Test
    void aPartThatArrivesLateIsReplaced() throws Exception {
        emulator.faults()
                .injectWrite(
                        new Fault.Refusal(500, Optional.empty()), Integer.MAX_VALUE, write -> write.part() == PARTS);
        assertThatThrownBy(this::push).isInstanceOf(PenstockException.class);
        emulator.faults().clear();
        BucketUploads late = uploads();
        BucketUploads.Upload upload = late.begun().getFirst();
        Path other = Files.write(folder.resolve("other"), new byte[PIECE]);
        CompletableFuture<String> arrived = new CompletableFuture<>();
        emulator.faults().injectWrite(new Fault.Latency(Duration.ofSeconds(1)), 1, write -> {
            if (write.step() == Step.COMMIT) {
                FileRegion region = new FileRegion(other, 0, PIECE);
                Thread.ofVirtual()
                        .start(() ->
                                arrived.complete(late.putPart(upload, 3, region, region.sums(PIECE, late.wantsMd5()))));
            }
            return write.step() == Step.COMMIT;
        });
        assertIntact(push().revision());
        assertThat(arrived).isCompleted();
        assertThat(uploadsLeft()).isZero();
    }

    @Test
    void aFileThatChangesMeanwhileIsNotPublished() {
        emulator.faults().injectWrite(new Fault.Latency(Duration.ofMillis(1)), 1, write -> {
            if (write.step() == Step.PART && write.part() == 5) {
                touch(model.resolve("weights.safetensors"));
                return true;
            }
            return false;
        });
        assertThatThrownBy(this::push)
                .isInstanceOfSatisfying(
                        PenstockException.class,
                        failure -> assertThat(failure.category()).isEqualTo(ErrorCategory.CORRUPT))
                .hasMessageContaining("changed while it was pushed");
        assertThat(uploadsLeft()).isZero();
        assertThat(source().resolve("m", "").files())
                .extracting(file -> file.name().value())
                .doesNotContain("weights.safetensors");
    }

    private static void touch(Path file) {
        try {
            Files.setLastModifiedTime(file, FileTime.from(Instant.EPOCH));
        } catch (IOException e) {
            throw new UncheckedIOException(e);
        }
    }

    @Test
    void anObjectThatIsNoLongerTheManifestsIsAnError() throws Exception {
        String revision = push().revision();
        emulator.putFile("models", "m/readme", Files.writeString(folder.resolve("readme"), "of no revision"));
        assertThat(source().resolve("m", "").revision()).isEqualTo(revision);
        emulator.putFile(
                "models", "m/sub/config.json", Files.writeString(folder.resolve("other"), SMALL.replace('1', '2')));
        assertThatThrownBy(() -> source().resolve("m", ""))
                .isInstanceOfSatisfying(
                        PenstockException.class,
                        failure -> assertThat(failure.category()).isEqualTo(ErrorCategory.CORRUPT))
                .hasMessageContaining("sub/config.json")
                .hasMessageContaining("push the folder again");
        assertIntact(push().revision());
    }

    @Test
    void nothingOutsideTheAllowedFolderLeavesTheNode() throws Exception {
        Path secret = Files.writeString(
                Files.createDirectories(folder.resolve("home")).resolve("key"), "secret");
        assertThatThrownBy(() -> push.run(secret.getParent(), api.target("m"), (_, _) -> {}))
                .hasMessageContaining("penstock.loader.push.folder");
        Files.createSymbolicLink(model.resolve("innocent"), secret);
        assertThatThrownBy(this::push).hasMessageContaining("penstock.loader.push.folder");
        Push none =
                push(http, new LoaderMetrics(registry), emulator.endpoint(), config, Optional.empty(), spans.tracer());
        assertThatThrownBy(() -> none.run(model, api.target("m"), (_, _) -> {})).hasMessageContaining("pushes nothing");
        assertThatThrownBy(() -> source().resolve("m", "")).hasMessageContaining("holds no files");
    }

    void assertIntact(String revision) throws Exception {
        Source source = source();
        Snapshot snapshot = source.resolve("m", revision);
        assertThat(snapshot.files())
                .extracting(file -> file.name().value())
                .containsExactly("empty", "sub/config.json", "weights.safetensors");
        RemoteFile weights = snapshot.files().getLast();
        assertThat(weights.pieces()).isPresent();
        assertThat(weights.checksum().orElseThrow()).isInstanceOf(Checksum.Crc32cSum.class);
        Source.Access.OverHttp access = (Source.Access.OverHttp) source.access(snapshot, weights);
        assertThat(http.client()
                        .send(access.requests().range(0, SIZE).http(), BodyHandlers.ofByteArray())
                        .body())
                .isEqualTo(content);
    }

    BucketUploads uploads() {
        Duration patience = Duration.ofSeconds(5);
        return switch (api) {
            case OCI -> new OciUploads(http, account(emulator.endpoint(), config), bucket(), patience);
            case S3 -> new S3Uploads(http, s3Account(emulator.endpoint(), config), bucket(), patience);
        };
    }

    private int uploadsLeft() {
        return uploads().begun().size();
    }

    private int partsLeft() {
        return uploads().begun().stream()
                .mapToInt(upload -> uploads().parts(upload).size())
                .sum();
    }

    private static String read(Path log) {
        try {
            return Files.readString(log);
        } catch (IOException e) {
            return e.toString();
        }
    }
}
