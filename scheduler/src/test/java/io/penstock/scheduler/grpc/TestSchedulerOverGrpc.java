package io.penstock.scheduler.grpc;

import static org.assertj.core.api.Assertions.assertThat;
import static org.assertj.core.api.Assertions.assertThatThrownBy;

import io.grpc.ManagedChannel;
import io.grpc.Metadata;
import io.grpc.Status;
import io.grpc.StatusRuntimeException;
import io.grpc.netty.NettyChannelBuilder;
import io.grpc.stub.MetadataUtils;
import io.grpc.stub.StreamObserver;
import io.penstock.api.ErrorStatus;
import io.penstock.api.ObjectCounts;
import io.penstock.api.RapidReset;
import io.penstock.api.inference.FinishReason;
import io.penstock.api.inference.Finished;
import io.penstock.api.inference.GenerateEvent;
import io.penstock.api.inference.GenerateRequest;
import io.penstock.api.inference.GroupState;
import io.penstock.api.inference.GroupStatus;
import io.penstock.api.inference.InferenceGrpc;
import io.penstock.api.inference.SchedulerStatus;
import io.penstock.api.inference.WatchRequest;
import io.penstock.api.shard.ShardGroupGrpc;
import io.penstock.api.shard.ShardOrder;
import io.penstock.api.shard.ShardReport;
import io.penstock.model.ErrorCategory;
import io.penstock.scheduler.group.FakeModel;
import io.penstock.scheduler.group.FakeRank;
import io.quarkus.test.common.QuarkusTestResource;
import io.quarkus.test.common.http.TestHTTPResource;
import io.quarkus.test.junit.QuarkusTest;
import java.io.IOException;
import java.net.Socket;
import java.net.URI;
import java.net.http.HttpClient;
import java.net.http.HttpRequest;
import java.net.http.HttpResponse;
import java.util.Iterator;
import java.util.List;
import java.util.Map;
import java.util.concurrent.CompletableFuture;
import java.util.concurrent.ExecutionException;
import java.util.concurrent.TimeUnit;
import java.util.function.Predicate;
import java.util.stream.IntStream;
import org.junit.jupiter.api.AfterEach;
import org.junit.jupiter.api.BeforeEach;
import org.junit.jupiter.api.Test;

/// The service as it runs, on real ports, with a rank that dials in.
@QuarkusTest
@QuarkusTestResource(FreePorts.class)
final class TestSchedulerOverGrpc {
    private static final int CONTEXT = 50_000;

    @TestHTTPResource("/")
    URI http;

    private ManagedChannel channel;
    private FakeRank fake;
    private DialingRank rank;

    @BeforeEach
    void attach() throws Exception {
        channel = NettyChannelBuilder.forAddress("localhost", FreePorts.grpcPort)
                .usePlaintext()
                // As small as HTTP/2 has it, so that a client that does not read is felt early.
                .flowControlWindow(65_535)
                .build();
        fake = new FakeRank("g", "fake", 0, 1, 0, 1, 4_000, CONTEXT);
        rank = new DialingRank(fake, channel);
        rank.ready.get(10, TimeUnit.SECONDS);
        await(group -> group.getState() == GroupState.GROUP_STATE_SERVING);
    }

    @AfterEach
    void hangUp() throws Exception {
        rank.hangUp();
        assertThat(rank.ended.get(10, TimeUnit.SECONDS)).isEqualTo(Status.OK);
        channel.shutdownNow();
        assertThat(channel.awaitTermination(10, TimeUnit.SECONDS)).isTrue();
    }

    private static GenerateRequest.Builder request(int promptLength, int maxTokens) {
        return GenerateRequest.newBuilder()
                .setRequestId("r")
                .setModel("fake")
                .addAllPromptTokens(IntStream.range(0, promptLength).boxed().toList())
                .setMaxTokens(maxTokens);
    }

    private static List<Integer> oracle(int promptLength, int maxTokens) {
        return FakeModel.oracle(IntStream.range(0, promptLength).toArray(), maxTokens, false);
    }

    private ReadingClient generate(GenerateRequest request) {
        ReadingClient client = new ReadingClient(true, request.getResumeTokensCount());
        InferenceGrpc.newStub(channel).generate(request, client);
        return client;
    }

    @Test
    void streamsTokensAndTheirEnd() throws Exception {
        List<ReadingClient> clients = IntStream.range(1, 20)
                .mapToObj(n -> generate(request(n, 100).build()))
                .toList();
        for (int n = 1; n < 20; n++) {
            ReadingClient client = clients.get(n - 1);
            Finished finished = client.ended.get(20, TimeUnit.SECONDS);
            assertThat(client.tokens()).isEqualTo(oracle(n, 100));
            assertThat(finished.getReason()).isEqualTo(FinishReason.FINISH_REASON_LENGTH);
            assertThat(finished.getPromptTokens()).isEqualTo(n);
            assertThat(finished.getGeneratedTokens()).isEqualTo(100);
        }
        await(group -> group.getKvBlocksUsed() == 0 && group.getSequencesRunning() == 0);
    }

    /// A scheduler that keeps something of each sequence dies of it in weeks.
    @Test
    void nothingStaysOfSequencesThatEnded() throws Exception {
        int count = 400;
        sequences(count);
        String begin = ObjectCounts.alive();
        sequences(count);
        String middle = ObjectCounts.alive();
        sequences(count);
        String end = ObjectCounts.alive();
        Map<String, Long> first = ObjectCounts.counts(begin);
        Map<String, Long> second = ObjectCounts.counts(middle);
        ObjectCounts.counts(end).forEach((name, now) -> {
            long before = second.getOrDefault(name, 0L);
            // What is loaded once, late, grows once; what is kept of each sequence grows each time.
            long growth = Math.min(now - before, before - first.getOrDefault(name, 0L));
            long most = name.startsWith("io.penstock.scheduler.") ? 20 : count / 2;
            assertThat(growth).as("growth of %s in %d sequences", name, count).isLessThan(most);
        });
    }

    /// Half of them end; a quarter is cancelled, a quarter refused.
    private void sequences(int count) throws Exception {
        for (int i = 0; i < count; i += 4) {
            List<ReadingClient> ending = List.of(
                    generate(request(3, 5).build()),
                    generate(request(4, 6).build()),
                    generate(request(3, 5).setModel("none").build()));
            ReadingClient leaving = generate(request(5, 40_000).build());
            leaving.firstToken.await();
            leaving.call.cancel("on purpose", null);
            ending.get(0).ended.get(10, TimeUnit.SECONDS);
            ending.get(1).ended.get(10, TimeUnit.SECONDS);
            assertThatThrownBy(() -> ending.get(2).ended.get(10, TimeUnit.SECONDS))
                    .hasMessageContaining("NOT_FOUND");
        }
        await(group -> group.getKvBlocksUsed() == 0 && group.getSequencesRunning() == 0);
        // The test's own.
        fake.traceparents.clear();
        fake.admittedTraces.clear();
    }

    @Test
    void resumesAfterTokensGivenBefore() throws Exception {
        List<Integer> whole = oracle(5, 40);
        ReadingClient client =
                generate(request(5, 40).addAllResumeTokens(whole.subList(0, 15)).build());
        assertThat(client.ended.get(10, TimeUnit.SECONDS).getGeneratedTokens()).isEqualTo(40);
        assertThat(client.tokens()).isEqualTo(whole.subList(15, 40));
    }

    @Test
    void streamsGoOnWhenTheRankDialsAgain() throws Exception {
        ReadingClient client = generate(request(5, 3_000).build());
        assertThat(client.firstToken.await(10, TimeUnit.SECONDS)).isTrue();
        rank.hangUp();
        rank.ended.get(10, TimeUnit.SECONDS);
        fake = new FakeRank("g", "fake", 0, 1, 0, 1, 4_000, CONTEXT);
        rank = new DialingRank(fake, channel);
        client.ended.get(20, TimeUnit.SECONDS);
        assertThat(client.tokens()).isEqualTo(oracle(5, 3_000));
    }

    @Test
    void cancelsWhatAClientCancels() throws Exception {
        ReadingClient client = generate(request(5, 40_000).build());
        assertThat(client.firstToken.await(10, TimeUnit.SECONDS)).isTrue();
        client.call.cancel("enough", null);
        await(group -> group.getSequencesRunning() == 0 && group.getKvBlocksUsed() == 0);
    }

    @Test
    void cancelsAClientThatDoesNotRead() throws Exception {
        ReadingClient deaf = new ReadingClient(false, 0);
        InferenceGrpc.newStub(channel)
                .generate(request(1, 40_000).setTopLogprobs(5).build(), deaf);
        await(group -> group.getSequencesRunning() == 1);
        ReadingClient other = generate(request(5, 300).build());
        other.ended.get(20, TimeUnit.SECONDS);
        assertThat(other.tokens()).isEqualTo(oracle(5, 300));
        await(group -> group.getSequencesRunning() == 0 && group.getKvBlocksUsed() == 0);
        deaf.call.request(Integer.MAX_VALUE);
        assertFailed(deaf, Status.Code.RESOURCE_EXHAUSTED, ErrorCategory.OVERLOADED, "too slowly");
    }

    @Test
    void saysWhatIsWrongWithARequest() {
        assertFailed(
                generate(request(5, 5).setModel("none").build()),
                Status.Code.NOT_FOUND,
                ErrorCategory.NOT_FOUND,
                "model none is not served here");
        assertFailed(
                generate(request(5, 5).addPromptTokens(FakeModel.VOCABULARY).build()),
                Status.Code.INVALID_ARGUMENT,
                ErrorCategory.BAD_INPUT,
                "prompt_tokens[5] is token 1000, the vocabulary has 1000");
        assertFailed(
                generate(request(5, CONTEXT).build()),
                Status.Code.INVALID_ARGUMENT,
                ErrorCategory.BAD_INPUT,
                "the context holds " + CONTEXT);
    }

    /// Whoever asks for the model, or watches, is told what the rank said; another group of it is asked first.
    @Test
    void saysWhyAGroupCannotBeConfigured() throws Exception {
        FakeRank unfit = new FakeRank("unfit", "large", 0, 1, 0, 1, 4_000, CONTEXT);
        unfit.refusal = "too few heads";
        DialingRank refusing = new DialingRank(unfit, channel);
        await("unfit", group -> group.getState() == GroupState.GROUP_STATE_REFUSED);
        String why = "rank 0 of stage 0 refuses its configuration: too few heads";
        assertFailed(
                generate(request(5, 5).setModel("large").build()),
                Status.Code.UNAVAILABLE,
                ErrorCategory.UNAVAILABLE,
                why);
        assertThat(get("q/health/ready")).contains("GROUP_STATE_REFUSED: " + why);

        FakeRank half = new FakeRank("half", "large", 0, 2, 0, 1, 4_000, CONTEXT);
        DialingRank waiting = new DialingRank(half, channel);
        await("half", group -> group.getState() == GroupState.GROUP_STATE_FORMING);
        List<ReadingClient> clients = List.of(
                generate(request(5, 5).setModel("large").build()),
                generate(request(5, 5).setModel("large").build()));
        await("half", group -> group.getSequencesWaiting() == clients.size());
        clients.forEach(client -> client.call.cancel("enough", null));
        refusing.hangUp();
        waiting.hangUp();
        assertThat(refusing.ended.get(10, TimeUnit.SECONDS)).isEqualTo(Status.OK);
        assertThat(waiting.ended.get(10, TimeUnit.SECONDS)).isEqualTo(Status.OK);
    }

    @Test
    void keepsTheCallersDeadline() {
        ReadingClient client = generate(request(5, 40_000).setDeadlineMillis(50).build());
        assertFailed(client, Status.Code.DEADLINE_EXCEEDED, ErrorCategory.DEADLINE, "deadline passed");
    }

    private static void assertFailed(ReadingClient client, Status.Code code, ErrorCategory category, String message) {
        assertThatThrownBy(() -> client.ended.get(20, TimeUnit.SECONDS))
                .isInstanceOf(ExecutionException.class)
                .cause()
                .isInstanceOfSatisfying(StatusRuntimeException.class, failure -> {
                    assertThat(failure.getStatus().getCode()).isEqualTo(code);
                    assertThat(failure.getStatus().getDescription()).contains(message);
                    assertThat(failure.getTrailers()).isNotNull();
                    assertThat(failure.getTrailers().get(ErrorStatus.CATEGORY)).isEqualTo(category.name());
                });
    }

    @Test
    void refusesARankOfAnotherProtocol() throws Exception {
        FakeRank newer = new FakeRank("g2", "fake", 0, 1, 0, 1, 10, 100);
        newer.hello().setProtocol(2);
        Status status = new DialingRank(newer, channel).ended.get(10, TimeUnit.SECONDS);
        assertThat(status.getCode()).isEqualTo(Status.Code.FAILED_PRECONDITION);
        assertThat(status.getDescription()).contains("protocol is 2, this scheduler speaks 1");
    }

    /// A group stays for as long as the scheduler does: who is refused must not begin one.
    @Test
    void ranksThatAreRefusedTakeNoGroup() throws Exception {
        for (int i = 0; i < 300; i++) {
            FakeRank other = new FakeRank("other" + i, "fake", 0, 1, 0, 1, 10, 100);
            CompletableFuture<Status> ended = new CompletableFuture<>();
            StreamObserver<ShardReport> reports =
                    ShardGroupGrpc.newStub(channel).attach(new Refused(ended));
            reports.onNext(ShardReport.newBuilder()
                    .setHello(
                            i % 2 == 0
                                    ? other.hello().setProtocol(99)
                                    : other.hello().setTpRank(7))
                    .build());
            assertThat(ended.get(10, TimeUnit.SECONDS).getCode()).isEqualTo(Status.Code.FAILED_PRECONDITION);
        }
        assertThat(InferenceGrpc.newBlockingStub(channel)
                        .withDeadlineAfter(20, TimeUnit.SECONDS)
                        .watch(WatchRequest.getDefaultInstance())
                        .next()
                        .getGroupsList())
                .extracting(GroupStatus::getGroup)
                .contains("g")
                .noneMatch(name -> name.startsWith("other"));
        DialingRank newcomer = new DialingRank(new FakeRank("late", "fake", 0, 1, 0, 1, 4_000, CONTEXT), channel);
        newcomer.ready.get(10, TimeUnit.SECONDS);
        newcomer.hangUp();
    }

    private record Refused(CompletableFuture<Status> ended) implements StreamObserver<ShardOrder> {
        @Override
        public void onNext(ShardOrder order) {
            ended.completeExceptionally(new AssertionError("an order"));
        }

        @Override
        public void onError(Throwable failure) {
            ended.complete(Status.fromThrowable(failure));
        }

        @Override
        public void onCompleted() {
            ended.complete(Status.OK);
        }
    }

    @Test
    void callsThatAreResetAtOnce() throws Exception {
        assertThat(RapidReset.isStopped(
                        new Socket("localhost", FreePorts.grpcPort),
                        "http",
                        "/" + InferenceGrpc.SERVICE_NAME + "/Generate",
                        200_000))
                .isTrue();
        assertThat(generate(request(3, 5).build())
                        .ended
                        .get(10, TimeUnit.SECONDS)
                        .getGeneratedTokens())
                .isEqualTo(5);
    }

    /// A thousandth of it on the wire.
    @Test
    void aMessageThatUnpacksToMuchMore() throws Exception {
        Iterator<GenerateEvent> events = InferenceGrpc.newBlockingStub(channel)
                .withCompression("gzip")
                .withDeadlineAfter(20, TimeUnit.SECONDS)
                .generate(request(3, 5).setTenant("x".repeat(64 << 20)).build());
        assertThatThrownBy(events::hasNext)
                .isInstanceOfSatisfying(
                        StatusRuntimeException.class,
                        e -> assertThat(e.getStatus().getCode()).isNotEqualTo(Status.Code.DEADLINE_EXCEEDED));
        assertThat(generate(request(3, 5).build())
                        .ended
                        .get(10, TimeUnit.SECONDS)
                        .getGeneratedTokens())
                .isEqualTo(5);
    }

    /// A megabyte of what nobody reads, as metadata and as a field.
    @Test
    void metadataWithoutBounds() throws Exception {
        Metadata headers = new Metadata();
        headers.put(Metadata.Key.of("x-large", Metadata.ASCII_STRING_MARSHALLER), "x".repeat(1 << 20));
        Iterator<GenerateEvent> events = InferenceGrpc.newBlockingStub(channel)
                .withInterceptors(MetadataUtils.newAttachHeadersInterceptor(headers))
                .withDeadlineAfter(20, TimeUnit.SECONDS)
                .generate(request(3, 5).build());
        assertThatThrownBy(events::hasNext).isInstanceOf(StatusRuntimeException.class);
        GenerateRequest.Builder traced = request(3, 5);
        for (int i = 0; i < 20_000; i++) {
            traced.putTraceContext("key" + i, "x".repeat(100));
        }
        traced.putTraceContext("traceparent", "\u0000".repeat(1_000));
        assertThat(generate(traced.build()).ended.get(10, TimeUnit.SECONDS).getGeneratedTokens())
                .isEqualTo(5);
    }

    @Test
    void tellsHealthAndMetrics() throws Exception {
        ReadingClient client = generate(request(5, 50).build());
        client.ended.get(10, TimeUnit.SECONDS);
        assertThat(get("q/health/live")).contains("UP");
        assertThat(get("q/health/ready")).contains("\"status\": \"UP\"").contains("GROUP_STATE_SERVING");
        assertThat(get("q/metrics"))
                .contains("vllm:num_requests_running{")
                .contains("vllm:num_requests_waiting{")
                .contains("vllm:kv_cache_usage_perc{")
                .contains("vllm:prompt_tokens_total{model_name=\"fake\"")
                .contains("vllm:generation_tokens_total{model_name=\"fake\"")
                .contains("vllm:request_success_total{finished_reason=\"length\",model_name=\"fake\"")
                .contains("vllm:time_to_first_token_seconds_bucket{model_name=\"fake\",le=\"0.001\"")
                .contains("vllm:inter_token_latency_seconds_count{")
                .contains("vllm:e2e_request_latency_seconds_sum{")
                .contains("vllm:request_queue_time_seconds_count{")
                .contains("vllm:request_prompt_tokens_bucket{");
    }

    private String get(String path) throws IOException, InterruptedException {
        try (HttpClient client = HttpClient.newHttpClient()) {
            return client.send(HttpRequest.newBuilder(http.resolve(path)).build(), HttpResponse.BodyHandlers.ofString())
                    .body();
        }
    }

    private void await(Predicate<GroupStatus> wished) {
        await("g", wished);
    }

    /// Watches until the group is as wished.
    private void await(String name, Predicate<GroupStatus> wished) {
        Iterator<SchedulerStatus> states = InferenceGrpc.newBlockingStub(channel)
                .withDeadlineAfter(20, TimeUnit.SECONDS)
                .watch(WatchRequest.getDefaultInstance());
        while (states.hasNext()) {
            for (GroupStatus group : states.next().getGroupsList()) {
                if (group.getGroup().equals(name) && wished.test(group)) {
                    return;
                }
            }
        }
        throw new AssertionError("the status feed ended");
    }
}
