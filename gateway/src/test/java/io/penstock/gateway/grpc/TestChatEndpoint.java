package io.penstock.gateway.grpc;

import static org.assertj.core.api.Assertions.assertThat;
import static org.assertj.core.api.Assertions.assertThatThrownBy;
import static org.awaitility.Awaitility.await;

import io.grpc.Context;
import io.grpc.ManagedChannel;
import io.grpc.Metadata;
import io.grpc.Status;
import io.grpc.StatusRuntimeException;
import io.grpc.netty.GrpcSslContexts;
import io.grpc.netty.NettyChannelBuilder;
import io.grpc.stub.MetadataUtils;
import io.penstock.api.chat.ChatEvent;
import io.penstock.api.chat.ChatMessage;
import io.penstock.api.chat.ChatRequest;
import io.penstock.api.chat.ChatServiceGrpc;
import io.penstock.api.inference.GenerateRequest;
import io.penstock.gateway.access.Capacity;
import io.penstock.gateway.fake.Certificate;
import io.penstock.gateway.fake.FakeCall;
import io.penstock.gateway.fake.FakeScheduler;
import io.penstock.gateway.fake.FakeSchedulers;
import io.penstock.gateway.fake.Script;
import io.penstock.gateway.fake.TinyGateway;
import io.quarkus.test.junit.QuarkusTest;
import io.quarkus.test.junit.TestProfile;
import jakarta.inject.Inject;
import java.util.ArrayList;
import java.util.Iterator;
import java.util.List;
import java.util.concurrent.TimeUnit;
import javax.net.ssl.SSLException;
import org.eclipse.microprofile.config.ConfigProvider;
import org.junit.jupiter.api.AfterEach;
import org.junit.jupiter.api.BeforeEach;
import org.junit.jupiter.api.Test;

/// The gRPC chat means what the REST chat means.
@QuarkusTest
@TestProfile(TinyGateway.class)
class TestChatEndpoint {
    private final FakeScheduler scheduler = FakeSchedulers.first();

    @Inject
    Capacity capacity;

    private ManagedChannel channel;

    @BeforeEach
    void connect() throws SSLException {
        TinyGateway.awaitReadiness(200);
        int port = ConfigProvider.getConfig().getValue("quarkus.grpc.server.test-port", Integer.class);
        channel = NettyChannelBuilder.forAddress("localhost", port)
                .sslContext(GrpcSslContexts.forClient()
                        .trustManager(Certificate.trust())
                        .build())
                .flowControlWindow(64 << 10)
                .build();
    }

    @AfterEach
    void disconnect() throws InterruptedException {
        channel.shutdownNow();
        assertThat(channel.awaitTermination(5, TimeUnit.SECONDS)).isTrue();
        await().until(() -> capacity.requests() == 0);
    }

    private static ChatRequest.Builder request() {
        return ChatRequest.newBuilder()
                .setModel("tiny")
                .addMessages(ChatMessage.newBuilder().setRole("user").setContent("hi"));
    }

    private Iterator<ChatEvent> chat(ChatRequest.Builder request) {
        return ChatServiceGrpc.newBlockingStub(channel)
                .withInterceptors(MetadataUtils.newAttachHeadersInterceptor(key(TinyGateway.KEY)))
                .withDeadlineAfter(20, TimeUnit.SECONDS)
                .chat(request.build());
    }

    @Test
    void deltasThenTheEndThenTheUsage() throws InterruptedException {
        scheduler.plays(Script.saying("é!"));
        List<ChatEvent> events = new ArrayList<>();
        chat(request().setTopLogprobs(1).setSeed(5).setTopK(3)).forEachRemaining(events::add);
        assertThat(events)
                .extracting(ChatEvent::getEventCase)
                .containsExactly(
                        ChatEvent.EventCase.DELTA,
                        ChatEvent.EventCase.DELTA,
                        ChatEvent.EventCase.FINISHED,
                        ChatEvent.EventCase.USAGE);
        assertThat(events.get(0).getDelta().getContent()).isEqualTo("é");
        assertThat(events.get(0).getDelta().getLogprobsCount()).isEqualTo(2);
        assertThat(events.get(0).getDelta().getLogprobs(0).getRaw().byteAt(0)).isEqualTo((byte) 0xc3);
        assertThat(events.get(2).getFinished().getFinishReason()).isEqualTo("stop");
        assertThat(events.get(3).getUsage().getPromptTokens()).isEqualTo(5);
        assertThat(events.get(3).getUsage().getCompletionTokens()).isEqualTo(3);
        GenerateRequest sent = scheduler.nextCall().request();
        assertThat(sent.getSampling().getSeed()).isEqualTo(5);
        assertThat(sent.getSampling().getTopK()).isEqualTo(3);
        assertThat(sent.getSampling().getTemperature()).isEqualTo(1);
    }

    @Test
    void badInputHasItsStatus() {
        assertRefused(request().setTemperature(Float.NaN), Status.Code.INVALID_ARGUMENT);
        assertRefused(request().setN(17), Status.Code.INVALID_ARGUMENT);
        assertRefused(request().addStop(""), Status.Code.INVALID_ARGUMENT);
        assertRefused(request().setMaxTokens(0), Status.Code.INVALID_ARGUMENT);
        assertRefused(request().setTopLogprobs(21), Status.Code.INVALID_ARGUMENT);
        assertRefused(request().putLogitBias(9_999, 1f), Status.Code.INVALID_ARGUMENT);
        assertRefused(request().clearMessages(), Status.Code.INVALID_ARGUMENT);
        assertRefused(request().setModel("none"), Status.Code.NOT_FOUND);
    }

    private void assertRefused(ChatRequest.Builder request, Status.Code code) {
        Iterator<ChatEvent> events = chat(request);
        assertThatThrownBy(events::hasNext)
                .isInstanceOfSatisfying(
                        StatusRuntimeException.class,
                        e -> assertThat(e.getStatus().getCode()).isEqualTo(code));
    }

    private static Metadata key(String key) {
        Metadata headers = new Metadata();
        headers.put(Metadata.Key.of("authorization", Metadata.ASCII_STRING_MARSHALLER), "Bearer " + key);
        return headers;
    }

    @Test
    void asksForAKey() {
        for (Metadata headers : List.of(new Metadata(), key("other"))) {
            Iterator<ChatEvent> events = ChatServiceGrpc.newBlockingStub(channel)
                    .withInterceptors(MetadataUtils.newAttachHeadersInterceptor(headers))
                    .withDeadlineAfter(20, TimeUnit.SECONDS)
                    .chat(request().build());
            assertThatThrownBy(events::hasNext)
                    .isInstanceOfSatisfying(
                            StatusRuntimeException.class,
                            e -> assertThat(e.getStatus().getCode()).isEqualTo(Status.Code.UNAUTHENTICATED));
        }
    }

    @Test
    void aClientThatCancelsEndsItsSequence() throws InterruptedException {
        scheduler.plays(Script.endless("abc"));
        Context.CancellableContext call = Context.current().withCancellation();
        call.run(() -> assertThat(
                        chat(request().setModel("wide")).next().getDelta().getContent())
                .isEqualTo("a"));
        call.cancel(null);
        assertThat(scheduler.nextCall().awaitCancelled(5)).isTrue();
    }

    @Test
    void aClientThatDoesNotReadIsCutOff() throws InterruptedException {
        scheduler.plays(Script.endless("abc"));
        Iterator<ChatEvent> events = chat(request().setModel("wide"));
        events.next();
        FakeCall call = scheduler.nextCall();
        assertThat(call.awaitCancelled(15)).isTrue();
        assertThat(call.sent()).isLessThan(30_000);
    }
}
