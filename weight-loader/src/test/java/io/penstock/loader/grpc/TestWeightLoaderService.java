package io.penstock.loader.grpc;

import static org.assertj.core.api.Assertions.assertThat;
import static org.assertj.core.api.Assertions.assertThatThrownBy;

import io.grpc.ManagedChannel;
import io.grpc.StatusRuntimeException;
import io.grpc.netty.NettyChannelBuilder;
import io.penstock.api.ErrorStatus;
import io.penstock.api.weights.ByteRange;
import io.penstock.api.weights.CachedModel;
import io.penstock.api.weights.DescribeRequest;
import io.penstock.api.weights.EnsureEvent;
import io.penstock.api.weights.EnsureRequest;
import io.penstock.api.weights.EvictRequest;
import io.penstock.api.weights.FileRanges;
import io.penstock.api.weights.ListRequest;
import io.penstock.api.weights.ModelFile;
import io.penstock.api.weights.ModelFiles;
import io.penstock.api.weights.PinRequest;
import io.penstock.api.weights.PushEvent;
import io.penstock.api.weights.PushRequest;
import io.penstock.api.weights.PushResult;
import io.penstock.api.weights.ReadChunk;
import io.penstock.api.weights.ReadRequest;
import io.penstock.api.weights.TierProgress;
import io.penstock.api.weights.TierResult;
import io.penstock.api.weights.VerifyEvent;
import io.penstock.api.weights.VerifyRequest;
import io.penstock.api.weights.VerifyResult;
import io.penstock.api.weights.WeightLoaderGrpc;
import io.penstock.model.ErrorCategory;
import io.quarkus.test.common.QuarkusTestResource;
import io.quarkus.test.common.http.TestHTTPResource;
import io.quarkus.test.junit.QuarkusTest;
import java.io.ByteArrayOutputStream;
import java.io.IOException;
import java.io.InputStream;
import java.net.URI;
import java.nio.charset.StandardCharsets;
import java.nio.file.Files;
import java.nio.file.Path;
import java.util.ArrayList;
import java.util.Arrays;
import java.util.Iterator;
import java.util.List;
import java.util.concurrent.TimeUnit;
import java.util.function.BooleanSupplier;
import org.eclipse.microprofile.config.ConfigProvider;
import org.junit.jupiter.api.AfterEach;
import org.junit.jupiter.api.BeforeEach;
import org.junit.jupiter.api.Test;
import org.junit.jupiter.params.ParameterizedTest;
import org.junit.jupiter.params.provider.CsvSource;
import org.junit.jupiter.params.provider.ValueSource;

/// The service over its real port, as shards and gateways call it.
@QuarkusTest
@QuarkusTestResource(LoaderEnvironment.class)
class TestWeightLoaderService {
    @TestHTTPResource("/q/")
    URI management;

    private final byte[] content = LoaderEnvironment.content();
    private ManagedChannel channel;
    private WeightLoaderGrpc.WeightLoaderBlockingStub loader;

    @BeforeEach
    void connect() {
        int port = ConfigProvider.getConfig().getValue("quarkus.grpc.server.test-port", Integer.class);
        channel =
                NettyChannelBuilder.forAddress("127.0.0.1", port).usePlaintext().build();
        loader = WeightLoaderGrpc.newBlockingStub(channel).withDeadlineAfter(30, TimeUnit.SECONDS);
    }

    @AfterEach
    void disconnect() {
        channel.shutdownNow();
    }

    @ParameterizedTest
    @CsvSource({"pushed,oci://penstock/models/pushed/", "pushed-by-s3,s3://models/by-s3"})
    void aFolderThatIsPushedIsAModelOfItsBucket(String model, String target) {
        String folder = ConfigProvider.getConfig().getValue("penstock.loader.push.folder", String.class);
        PushRequest request =
                PushRequest.newBuilder().setFolder(folder).setTarget(target).build();
        PushResult result = null;
        for (Iterator<PushEvent> events = loader.push(request); events.hasNext(); ) {
            PushEvent event = events.next();
            result = event.hasResult() ? event.getResult() : result;
        }
        assertThat(result.getBytesSent()).isEqualTo(content.length);
        ModelFiles files = describe(model);
        assertThat(files.getRevision()).isEqualTo(result.getRevision());
        ensure(files, FileRanges.newBuilder().setName("model.bin"));

        assertPushRefused(request.toBuilder().setFolder("/etc").build(), "penstock.loader.push.folder");
        assertPushRefused(request.toBuilder().setFolder("local").build(), "no absolute path");
        assertPushRefused(request.toBuilder().setTarget("hf://a/b").build(), "oci://");
        PushRequest abandon = request.toBuilder().setAbandon(true).build();
        assertThat(loader.push(abandon).next().getResult().getUploadsRemoved()).isZero();
    }

    private void assertPushRefused(PushRequest request, String reason) {
        assertThatThrownBy(() -> loader.push(request).next())
                .isInstanceOfSatisfying(
                        StatusRuntimeException.class,
                        failure -> assertThat(ErrorStatus.fromStatus(failure).category())
                                .isEqualTo(ErrorCategory.BAD_INPUT))
                .hasMessageContaining(reason);
    }

    @ParameterizedTest
    @ValueSource(strings = {"oci/test", "hub", "local"})
    void aModelOfAnySourceIsDescribedEnsuredAndRead(String model) throws IOException {
        ModelFiles files = describe(model);
        assertThat(files.getModel()).isEqualTo(model);
        assertThat(describe(model, files.getRevision())).isEqualTo(files);

        List<EnsureEvent> events = ensure(files, FileRanges.newBuilder().setName("model.bin"));
        assertThat(events.getFirst().hasLocated()).isTrue();
        Path path = Path.of(events.getFirst().getLocated().getFiles(0).getPath());
        assertThat(path).isAbsolute();
        assertThat(path.getFileName()).hasToString("model.bin");
        assertThat(Files.readAllBytes(path)).isEqualTo(content);
        assertThat(events.getLast().hasComplete()).isTrue();
        long present = events.stream()
                .flatMap(event -> event.getPresent().getRangesList().stream())
                .mapToLong(ByteRange::getLength)
                .sum();
        assertThat(present).isEqualTo(LoaderEnvironment.SIZE);

        List<EnsureEvent> again = ensure(files, FileRanges.newBuilder().setName("model.bin"));
        assertThat(again.getLast().getComplete().getBytesFetched()).isZero();
        assertThat(tiers(events))
                .allSatisfy(tier -> assertThat(tier.getBytesDone()).isEqualTo(tier.getBytesExpected()));
        assertThat(tiers(events).stream().mapToLong(TierProgress::getBytesDone).sum())
                .isEqualTo(LoaderEnvironment.SIZE);
        assertThat(tiers(again))
                .containsExactly(TierProgress.newBuilder()
                        .setTier(model.equals("local") ? "file" : "fast")
                        .setBytesDone(LoaderEnvironment.SIZE)
                        .setBytesExpected(LoaderEnvironment.SIZE)
                        .build());

        byte[] middle = read(ReadRequest.newBuilder()
                .setModel(model)
                .setRevision(files.getRevision())
                .setName("model.bin")
                .setOffset(1_000_001)
                .setLength(2_500_000));
        assertThat(middle).isEqualTo(Arrays.copyOfRange(content, 1_000_001, 3_500_001));
    }

    /// What the last word on a call's progress says of each tier.
    private static List<TierProgress> tiers(List<EnsureEvent> events) {
        return events.stream()
                .filter(EnsureEvent::hasProgress)
                .toList()
                .getLast()
                .getProgress()
                .getTiersList();
    }

    @Test
    void aModelIsPinnedVerifiedRepairedAndEvicted() throws IOException {
        ModelFiles files = describe("hub");
        ensure(files, FileRanges.newBuilder().setName("config.json"));
        PinRequest.Builder pin = PinRequest.newBuilder().setModel("hub").setRevision(files.getRevision());
        assertThat(loader.pin(pin.setPinned(true).build()).getPinned()).isTrue();
        EvictRequest evict = EvictRequest.newBuilder()
                .setModel("hub")
                .setRevision(files.getRevision())
                .build();
        assertThatThrownBy(() -> loader.evict(evict))
                .satisfies(failure -> assertThat(ErrorStatus.fromStatus((StatusRuntimeException) failure)
                                .category())
                        .isEqualTo(ErrorCategory.BAD_INPUT));

        Path config = Path.of(ensure(files, FileRanges.newBuilder().setName("config.json"))
                .getFirst()
                .getLocated()
                .getFiles(0)
                .getPath());
        Path behind = Path.of(config.toString().replace("/cache/", "/durable/").replace("/arriving/", "/complete/"));
        await(() -> Files.exists(behind));
        Files.writeString(config, "[]");
        Files.writeString(behind, "{)");
        List<VerifyEvent> events = new ArrayList<>();
        loader.verify(VerifyRequest.newBuilder()
                        .setModel("hub")
                        .setRevision(files.getRevision())
                        .setRepair(true)
                        .build())
                .forEachRemaining(events::add);
        assertThat(events.stream()
                        .filter(VerifyEvent::hasDamaged)
                        .map(event -> event.getDamaged().getTier() + " "
                                + event.getDamaged().getName()))
                .containsExactly("fast config.json", "durable config.json");
        assertThat(events.stream()
                        .filter(VerifyEvent::hasProgress)
                        .toList()
                        .getLast()
                        .getProgress()
                        .getTiersList())
                .extracting(TierProgress::getTier)
                .containsExactly("fast", "durable");
        VerifyResult result = events.getLast().getResult();
        assertThat(result.getBytesWrong()).isEqualTo(4);
        assertThat(result.getBytesRepaired()).isEqualTo(4);
        for (TierResult tier : result.getTiersList()) {
            assertThat(tier.getBytesRead()).as(tier.getTier()).isGreaterThanOrEqualTo(2);
            assertThat(tier.getBytesWrong()).isEqualTo(2);
            assertThat(tier.getBytesRepaired()).isEqualTo(2);
        }
        assertThat(result.getTiersList()).extracting(TierResult::getTier).containsExactly("fast", "durable");
        // Its name comes back once the disk has it, which is after the answer.
        await(() -> Files.exists(config));
        assertThat(Files.readString(config)).isEqualTo("{}");
        assertThat(Files.readString(behind)).isEqualTo("{}");

        assertThat(loader.pin(pin.setPinned(false).build()).getPinned()).isFalse();
        // A call that has just ended lets go of its files behind its answer: that is waited for.
        assertThat(loader.evict(evict).getBytesFreed()).isPositive();
        assertThat(loader.list(ListRequest.getDefaultInstance()).getModelsList())
                .noneMatch(model -> model.getModel().equals("hub"));
        assertThat(config).doesNotExist();
    }

    private static void await(BooleanSupplier condition) {
        long deadline = System.nanoTime() + TimeUnit.SECONDS.toNanos(10);
        while (!condition.getAsBoolean() && System.nanoTime() < deadline) {
            Thread.onSpinWait();
        }
        assertThat(condition.getAsBoolean()).isTrue();
    }

    @Test
    void checksumsAndSizesAreToldInTheOrderOfNames() {
        List<ModelFile> files = describe("oci/test").getFilesList();
        assertThat(files).extracting(ModelFile::getName).containsExactly("model.bin", "sub/config.json");
        assertThat(files.getFirst().getSize()).isEqualTo(LoaderEnvironment.SIZE);
        assertThat(files.getFirst().getChecksum()).startsWith("crc32c:");
        List<ModelFile> hub = describe("hub").getFilesList();
        assertThat(hub).extracting(ModelFile::getName).containsExactly("config.json", "model.bin");
        assertThat(hub.getFirst().getChecksum()).isEmpty();
        assertThat(hub.getLast().getChecksum()).matches("sha256:[0-9a-f]{64}");
    }

    @Test
    void rangesAreAnnouncedAsAsked() {
        ModelFiles files = describe("oci/test");
        List<EnsureEvent> events = ensure(
                files,
                FileRanges.newBuilder()
                        .setName("model.bin")
                        .addRanges(range(100, 5))
                        .addRanges(range(3_000_000, 7)),
                FileRanges.newBuilder().setName("sub/config.json"));
        List<String> present = events.stream()
                .filter(EnsureEvent::hasPresent)
                .flatMap(event -> event.getPresent().getRangesList().stream()
                        .map(range -> event.getPresent().getName() + " " + range.getOffset() + "+" + range.getLength()))
                .toList();
        assertThat(present).containsExactlyInAnyOrder("model.bin 100+5", "model.bin 3000000+7", "sub/config.json 0+2");
    }

    @Test
    void aReadOfNoLengthGoesToTheEnd() {
        ReadRequest.Builder request = ReadRequest.newBuilder().setModel("oci/test");
        assertThat(read(request.setName("sub/config.json"))).isEqualTo("{}".getBytes(StandardCharsets.UTF_8));
        assertThat(read(request.setName("model.bin").setOffset(LoaderEnvironment.SIZE - 3)))
                .isEqualTo(Arrays.copyOfRange(content, LoaderEnvironment.SIZE - 3, LoaderEnvironment.SIZE));
        assertThat(read(request.setOffset(LoaderEnvironment.SIZE))).isEmpty();
    }

    @Test
    void theListSaysWhatIsHere() {
        ModelFiles files = describe("oci/test");
        ensure(files, FileRanges.newBuilder().setName("sub/config.json"));
        CachedModel cached = loader.list(ListRequest.getDefaultInstance()).getModelsList().stream()
                .filter(model -> model.getModel().equals("oci/test"))
                .findFirst()
                .orElseThrow();
        assertThat(cached.getRevision()).isEqualTo(files.getRevision());
        assertThat(cached.getBytesTotal()).isEqualTo(LoaderEnvironment.SIZE + 2);
        assertThat(cached.getBytesPresent()).isBetween(2L, LoaderEnvironment.SIZE + 2L);
    }

    @Test
    void whatCannotBeIsRefusedWithItsCategory() {
        assertFails(ErrorCategory.NOT_FOUND, () -> describe("unknown"));
        assertFails(ErrorCategory.NOT_FOUND, () -> describe("oci/test", "no-such-revision"));
        ModelFiles files = describe("oci/test");
        assertFails(
                ErrorCategory.NOT_FOUND,
                () -> ensure(files, FileRanges.newBuilder().setName("none")));
        assertFails(ErrorCategory.BAD_INPUT, () -> ensure(files));
        for (String name : List.of("", "/etc/passwd", "../../lock", "a\\b", "x\0y")) {
            assertFails(
                    ErrorCategory.BAD_INPUT,
                    () -> ensure(files, FileRanges.newBuilder().setName(name)));
            assertFails(
                    ErrorCategory.BAD_INPUT,
                    () -> read(ReadRequest.newBuilder().setModel("oci/test").setName(name)));
        }
        for (ByteRange wrong : List.of(range(-1, 5), range(0, 0), range(0, -1), range(0, 5_000_001), range(1, -9))) {
            assertFails(
                    ErrorCategory.BAD_INPUT,
                    () -> ensure(
                            files, FileRanges.newBuilder().setName("model.bin").addRanges(wrong)));
        }
        FileRanges.Builder twice = FileRanges.newBuilder().setName("model.bin");
        assertFails(ErrorCategory.BAD_INPUT, () -> ensure(files, twice, twice));
        ReadRequest.Builder beyond =
                ReadRequest.newBuilder().setModel("oci/test").setName("model.bin");
        assertFails(ErrorCategory.BAD_INPUT, () -> read(beyond.setOffset(5_000_001)));
        assertFails(ErrorCategory.BAD_INPUT, () -> read(beyond.setOffset(10).setLength(5_000_000)));
        assertFails(ErrorCategory.BAD_INPUT, () -> read(beyond.setOffset(-1).setLength(1)));
    }

    @Test
    void healthAndMetricsAreServed() throws IOException {
        describe("oci/test");
        ensure(describe("oci/test"), FileRanges.newBuilder().setName("model.bin"));
        assertThat(get("health/ready")).contains("\"UP\"", "\"cache\"");
        assertThat(get("health/live")).contains("\"UP\"");
        assertThat(get("metrics"))
                .contains("penstock_loader_fetched_bytes_total{source=\"oci\"}")
                .contains("penstock_loader_part_duration_seconds_count{source=\"oci\"}")
                .contains("penstock_loader_part_duration_seconds_bucket{source=\"oci\",le=")
                .contains("penstock_loader_cache_hit_bytes_total{tier=\"fast\"}")
                .contains("penstock_loader_cache_free_bytes{tier=\"fast\"}")
                .contains("penstock_loader_cache_free_bytes{tier=\"durable\"}")
                .contains("penstock_loader_parallel_limit ")
                .contains("penstock_loader_parallel_running ")
                .contains("penstock_loader_buffer_bytes ");
    }

    private String get(String path) throws IOException {
        try (InputStream answer = management.resolve(path).toURL().openStream()) {
            return new String(answer.readAllBytes(), StandardCharsets.UTF_8);
        }
    }

    private ModelFiles describe(String model) {
        return describe(model, "");
    }

    private ModelFiles describe(String model, String revision) {
        return loader.describe(DescribeRequest.newBuilder()
                .setModel(model)
                .setRevision(revision)
                .build());
    }

    private List<EnsureEvent> ensure(ModelFiles files, FileRanges.Builder... wanted) {
        EnsureRequest.Builder request =
                EnsureRequest.newBuilder().setModel(files.getModel()).setRevision(files.getRevision());
        for (FileRanges.Builder ranges : wanted) {
            request.addFiles(ranges);
        }
        List<EnsureEvent> events = new ArrayList<>();
        loader.ensure(request.build()).forEachRemaining(events::add);
        return events;
    }

    private byte[] read(ReadRequest.Builder request) {
        ByteArrayOutputStream bytes = new ByteArrayOutputStream();
        for (Iterator<ReadChunk> chunks = loader.read(request.build()); chunks.hasNext(); ) {
            bytes.writeBytes(chunks.next().getContent().toByteArray());
        }
        return bytes.toByteArray();
    }

    private static ByteRange range(long offset, long length) {
        return ByteRange.newBuilder().setOffset(offset).setLength(length).build();
    }

    private static void assertFails(ErrorCategory category, Runnable call) {
        assertThatThrownBy(call::run)
                .satisfies(failure -> assertThat(ErrorStatus.fromStatus(failure).category())
                        .as(failure.getMessage())
                        .isEqualTo(category));
    }
}
