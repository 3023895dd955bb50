package io.penstock.gateway.grpc;

import static org.assertj.core.api.Assertions.assertThat;
import static org.assertj.core.api.Assertions.assertThatThrownBy;
import static org.awaitility.Awaitility.await;

import com.google.protobuf.ByteString;
import com.google.protobuf.UnknownFieldSet;
import io.grpc.Context;
import io.grpc.ManagedChannel;
import io.grpc.Metadata;
import io.grpc.Status;
import io.grpc.StatusRuntimeException;
import io.grpc.netty.GrpcSslContexts;
import io.grpc.netty.NettyChannelBuilder;
import io.grpc.stub.MetadataUtils;
import io.penstock.api.RapidReset;
import io.penstock.api.RawHttp2;
import io.penstock.api.chat.ChatEvent;
import io.penstock.api.chat.ChatMessage;
import io.penstock.api.chat.ChatRequest;
import io.penstock.api.chat.ChatServiceGrpc;
import io.penstock.api.chat.Tool;
import io.penstock.api.chat.ToolCall;
import io.penstock.api.chat.ToolCallDelta;
import io.penstock.api.inference.GenerateRequest;
import io.penstock.api.inference.GroupState;
import io.penstock.gateway.access.Capacity;
import io.penstock.gateway.fake.Certificate;
import io.penstock.gateway.fake.FakeCall;
import io.penstock.gateway.fake.FakeScheduler;
import io.penstock.gateway.fake.FakeSchedulers;
import io.penstock.gateway.fake.Script;
import io.penstock.gateway.fake.TinyGateway;
import io.penstock.gateway.fake.TinyText;
import io.penstock.gateway.fake.TinyTokenizer;
import io.quarkus.test.junit.QuarkusTest;
import io.quarkus.test.junit.TestProfile;
import jakarta.inject.Inject;
import java.io.IOException;
import java.util.ArrayList;
import java.util.Arrays;
import java.util.Collections;
import java.util.Iterator;
import java.util.List;
import java.util.concurrent.TimeUnit;
import javax.net.ssl.SSLException;
import javax.net.ssl.SSLParameters;
import javax.net.ssl.SSLSocket;
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
    void aGroupThatCanNeverServeIsSaidWithItsReason() {
        scheduler.refuses("too few heads");
        try {
            TinyGateway.awaitReadiness(503);
            assertThatThrownBy(() -> chat(request()).hasNext())
                    .isInstanceOf(StatusRuntimeException.class)
                    .hasMessage("UNAVAILABLE: The model cannot be served: too few heads");
        } finally {
            scheduler.is(GroupState.GROUP_STATE_SERVING);
        }
    }

    private static ChatRequest.Builder thinker() {
        return request()
                .setModel(TinyText.THINKER)
                .addTools(Tool.newBuilder()
                        .setName("clock")
                        .setDescription("tells the time")
                        .setParameters("{\"type\": \"object\", \"properties\": {}}"));
    }

    /// Those of the only choice, each kind joined.
    private record Parts(String thoughts, String text, List<ToolCall> calls, String reason) {}

    private Parts parts(ChatRequest.Builder request) {
        StringBuilder thoughts = new StringBuilder();
        StringBuilder text = new StringBuilder();
        List<ToolCall.Builder> calls = new ArrayList<>();
        String[] reason = {null};
        chat(request).forEachRemaining(event -> {
            thoughts.append(event.getDelta().getReasoning());
            text.append(event.getDelta().getContent());
            for (ToolCallDelta delta : event.getDelta().getToolCallsList()) {
                if (delta.getIndex() == calls.size()) {
                    assertThat(delta.getId()).matches("call_[0-9a-f]{24}");
                    calls.add(ToolCall.newBuilder().setName(delta.getName()));
                } else {
                    assertThat(delta.getId() + delta.getName()).isEmpty();
                }
                ToolCall.Builder call = calls.get(delta.getIndex());
                call.setArguments(call.getArguments() + delta.getArguments());
            }
            if (event.hasFinished()) {
                reason[0] = event.getFinished().getFinishReason();
            }
        });
        return new Parts(
                thoughts.toString(),
                text.toString(),
                calls.stream().map(ToolCall.Builder::build).toList(),
                reason[0]);
    }

    @Test
    void thoughtsAndCallsAreToldApart() throws InterruptedException {
        scheduler.plays(Script.saying("<think>\nwhat time?\n</think>\n\nLet me see. "
                + "<tool_call>\n{\"name\": \"clock\", \"arguments\": {\"zone\": \"UTC\"}}\n</tool_call>\n"
                + "<tool_call>\n{\"name\": \"clock\", \"arguments\": {}}\n</tool_call>"));
        Parts parts = parts(thinker());
        assertThat(parts.thoughts()).isEqualTo("what time?");
        assertThat(parts.text()).isEqualTo("Let me see.");
        assertThat(parts.calls()).extracting(ToolCall::getName).containsExactly("clock", "clock");
        assertThat(parts.calls()).extracting(ToolCall::getArguments).containsExactly("{\"zone\": \"UTC\"}", "{}");
        assertThat(parts.reason()).isEqualTo("tool_calls");
        assertThat(new TinyTokenizer().spell(scheduler.nextCall().request().getPromptTokensList()))
                .contains("tools:[{type=function, function={name=clock, description=tells the time, "
                        + "parameters={type=object, properties={}}}}]");

        Parts without = parts(thinker().setToolChoice("none"));
        assertThat(without.thoughts()).isEqualTo("what time?");
        assertThat(without.text()).startsWith("Let me see. <tool_call>");
        assertThat(without.calls()).isEmpty();
        assertThat(without.reason()).isEqualTo("stop");
        assertThat(new TinyTokenizer().spell(scheduler.nextCall().request().getPromptTokensList()))
                .doesNotContain("tools:");
    }

    @Test
    void callsAndTheirResultsComeBackAsTheTemplateWantsThem() throws InterruptedException {
        scheduler.plays(Script.saying("noon"));
        ToolCall call = ToolCall.newBuilder()
                .setId("call_1")
                .setName("clock")
                .setArguments("{\"zone\": \"UTC\"}")
                .build();
        ChatRequest.Builder request = thinker()
                .addMessages(ChatMessage.newBuilder().setRole("assistant").addToolCalls(call))
                .addMessages(ChatMessage.newBuilder()
                        .setRole("tool")
                        .setToolCallId("call_1")
                        .setContent("12:00"));
        assertThat(parts(request).text()).isEqualTo("noon");
        assertThat(new TinyTokenizer().spell(scheduler.nextCall().request().getPromptTokensList()))
                .contains("[{id=call_1, type=function, function={name=clock, arguments={zone=UTC}}}]")
                .contains("<|tool|>12:00");
    }

    @Test
    void tokensThatStopAreTheModelsAndTheRequests() throws InterruptedException {
        scheduler.plays(Script.saying("abc"));
        assertThat(parts(request().addStopTokenIds('b')).text()).isEqualTo("a");
        assertThat(scheduler.nextCall().request().getStopTokenIdsList())
                .containsExactlyInAnyOrder((int) 'b', TinyTokenizer.END);
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
        assertRefused(request().addStopTokenIds(9_999), Status.Code.INVALID_ARGUMENT);
        assertRefused(thinker().setToolChoice("required"), Status.Code.INVALID_ARGUMENT);
        assertRefused(thinker().addTools(Tool.newBuilder()), Status.Code.INVALID_ARGUMENT);
        for (String parameters : List.of("{", "[]", "{\"a\": 1e999}", "[".repeat(100_000))) {
            assertRefused(
                    thinker().addTools(Tool.newBuilder().setName("f").setParameters(parameters)),
                    Status.Code.INVALID_ARGUMENT);
        }
        assertRefused(
                thinker()
                        .addMessages(ChatMessage.newBuilder()
                                .setRole("assistant")
                                .addToolCalls(ToolCall.newBuilder().setName("f").setArguments("{zone"))),
                Status.Code.INVALID_ARGUMENT);
        assertRefused(request().setModel("none"), Status.Code.NOT_FOUND);
    }

    /// JSON in a string is three bytes of message for a hundred of memory.
    @Test
    void treesTooLargeForTheMemory() {
        String values = "{\"a\":[" + "{},".repeat(TinyGateway.MAX_BODIES_HELD / 128) + "0]}";
        assertRefused(
                thinker().addTools(Tool.newBuilder().setName("f").setParameters(values)), Status.Code.INVALID_ARGUMENT);
        assertRefused(
                thinker()
                        .addMessages(ChatMessage.newBuilder()
                                .setRole("assistant")
                                .addToolCalls(ToolCall.newBuilder().setName("f").setArguments(values))),
                Status.Code.INVALID_ARGUMENT);
        assertThat(capacity.bytes()).isZero();
    }

    /// Whatever a message holds is in memory for as long as its chat lasts.
    @Test
    void largeMessagesHaveToFindRoom() throws InterruptedException {
        scheduler.plays(Script.endless("abc"));
        ChatRequest.Builder large = request().setModel("wide");
        large.setUnknownFields(UnknownFieldSet.newBuilder()
                .addField(
                        1_000,
                        UnknownFieldSet.Field.newBuilder()
                                .addLengthDelimited(ByteString.copyFrom(new byte[3 << 20]))
                                .build())
                .build());
        Context.CancellableContext calls = Context.current().withCancellation();
        try {
            calls.run(() -> {
                for (int i = 0; i < 2; i++) {
                    assertThat(chat(large).next().hasDelta()).isTrue();
                }
                assertRefused(large, Status.Code.RESOURCE_EXHAUSTED);
                assertThat(chat(request().setModel("wide")).next().hasDelta()).isTrue();
            });
        } finally {
            calls.cancel(null);
        }
        await().until(() -> capacity.bytes() == 0);
    }

    /// A thousandth of it on the wire.
    @Test
    void aMessageThatUnpacksToMuchMore() throws InterruptedException {
        Iterator<ChatEvent> events = ChatServiceGrpc.newBlockingStub(channel)
                .withCompression("gzip")
                .withInterceptors(MetadataUtils.newAttachHeadersInterceptor(key(TinyGateway.KEY)))
                .withDeadlineAfter(20, TimeUnit.SECONDS)
                .chat(request()
                        .addMessages(ChatMessage.newBuilder().setRole("user").setContent("x".repeat(64 << 20)))
                        .build());
        assertThatThrownBy(events::hasNext)
                .isInstanceOfSatisfying(
                        StatusRuntimeException.class,
                        e -> assertThat(e.getStatus().getCode()).isNotEqualTo(Status.Code.DEADLINE_EXCEEDED));
        scheduler.plays(Script.saying("a"));
        assertThat(chat(request()).next().getDelta().getContent()).isEqualTo("a");
    }

    /// About to speak HTTP/2.
    private static SSLSocket socket() throws IOException {
        SSLSocket socket = (SSLSocket) Certificate.context()
                .getSocketFactory()
                .createSocket(
                        "localhost",
                        ConfigProvider.getConfig().getValue("quarkus.grpc.server.test-port", Integer.class));
        SSLParameters parameters = socket.getSSLParameters();
        parameters.setApplicationProtocols(new String[] {"h2"});
        socket.setSSLParameters(parameters);
        return socket;
    }

    /// Who speaks no further has both times: until it is asked, and to answer.
    @Test
    void callsThatAreNeverWhole() throws Exception {
        byte[] headers = RawHttp2.frame(
                RawHttp2.HEADERS, 0, 1, RawHttp2.headers(":method", "POST", "content-type", "application/grpc"));
        try (RawHttp2 headersAlone = new RawHttp2(socket());
                RawHttp2 halfOfThem = new RawHttp2(socket());
                RawHttp2 oneByte = new RawHttp2(socket())) {
            headersAlone.send(headers);
            halfOfThem.send(Arrays.copyOf(headers, 20));
            oneByte.send(new byte[1]);
            headersAlone.readToEnd();
            halfOfThem.readToEnd();
            oneByte.readToEnd();
        }
        scheduler.plays(Script.saying("a"));
        assertThat(chat(request()).next().getDelta().getContent()).isEqualTo("a");
    }

    /// A small message that becomes a large one is refused; gRPC (1.79) has no better word for it than
    /// UNKNOWN.
    @Test
    void callsThatAreMoreThanTheySeem() {
        ChatRequest.Builder large =
                request().addMessages(ChatMessage.newBuilder().setRole("user").setContent("0".repeat(64 << 20)));
        assertThatThrownBy(() -> ChatServiceGrpc.newBlockingStub(channel)
                        .withCompression("gzip")
                        .withInterceptors(MetadataUtils.newAttachHeadersInterceptor(key(TinyGateway.KEY)))
                        .withDeadlineAfter(20, TimeUnit.SECONDS)
                        .chat(large.build())
                        .next())
                .isInstanceOfSatisfying(
                        StatusRuntimeException.class,
                        e -> assertThat(e.getStatus().getCode())
                                .isIn(Status.Code.RESOURCE_EXHAUSTED, Status.Code.UNKNOWN));
        scheduler.plays(Script.saying("a"));
        assertThat(chat(request()).next().getDelta().getContent()).isEqualTo("a");
    }

    /// What is no call of gRPC is answered as HTTP has it, or not at all.
    @Test
    void callsThatAreNone() throws Exception {
        scheduler.plays(Script.saying("a"));
        String path = "/" + ChatServiceGrpc.SERVICE_NAME + "/Chat";
        for (String[] fields : new String[][] {
            {":method", "POST", ":scheme", "https", ":path", path, ":authority", "a", "content-type", "application/json"
            },
            {":method", "GET", ":scheme", "https", ":path", path, ":authority", "a", "content-type", "application/grpc"
            },
            {":method", "POST", ":scheme", "https", ":path", "/x", ":authority", "a", "content-type", "application/grpc"
            },
            {":method", "POST", ":scheme", "https", ":authority", "a", "content-type", "application/grpc"},
        }) {
            try (RawHttp2 client = new RawHttp2(socket())) {
                client.send(RawHttp2.frame(
                        RawHttp2.HEADERS, RawHttp2.END_HEADERS | RawHttp2.END_STREAM, 1, RawHttp2.headers(fields)));
                RawHttp2.Frame answer = client.read();
                while (answer.stream() != 1) {
                    answer = client.read();
                }
                assertThat(answer.type()).isIn(RawHttp2.HEADERS, RawHttp2.RST_STREAM);
                assertThat(client.answersPing()).isTrue();
            }
        }
        assertThat(scheduler.callSoFar()).isNull();
    }

    @Test
    void callsThatAreResetAtOnce() throws Exception {
        assertThat(RapidReset.isStopped(socket(), "https", "/" + ChatServiceGrpc.SERVICE_NAME + "/Chat", 50_000))
                .isTrue();
        scheduler.plays(Script.saying("a"));
        assertThat(chat(request()).next().getDelta().getContent()).isEqualTo("a");
    }

    @Test
    void listsWithoutBounds() {
        ChatRequest.Builder biases = request();
        for (int i = 0; i < 100_000; i++) {
            biases.putLogitBias(i, 1f);
        }
        assertRefused(biases, Status.Code.INVALID_ARGUMENT);
        assertRefused(request().addAllStop(Collections.nCopies(100_000, "s")), Status.Code.INVALID_ARGUMENT);
        assertRefused(request().addAllStopTokenIds(Collections.nCopies(100_000, 1)), Status.Code.INVALID_ARGUMENT);
        assertRefused(request().setN(Integer.MIN_VALUE), Status.Code.INVALID_ARGUMENT);
        assertRefused(request().putLogitBias(1, Float.NaN), Status.Code.INVALID_ARGUMENT);
        assertRefused(
                request()
                        .addAllMessages(Collections.nCopies(
                                100_000,
                                ChatMessage.newBuilder()
                                        .setRole("user")
                                        .setContent("a")
                                        .build())),
                Status.Code.INVALID_ARGUMENT);
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
