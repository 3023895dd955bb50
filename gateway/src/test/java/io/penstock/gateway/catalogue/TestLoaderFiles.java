package io.penstock.gateway.catalogue;

import static org.assertj.core.api.Assertions.assertThat;
import static org.assertj.core.api.Assertions.assertThatThrownBy;

import com.google.protobuf.ByteString;
import io.grpc.ManagedChannel;
import io.grpc.Server;
import io.grpc.netty.NettyChannelBuilder;
import io.grpc.netty.NettyServerBuilder;
import io.grpc.stub.StreamObserver;
import io.penstock.api.ErrorStatus;
import io.penstock.api.weights.DescribeRequest;
import io.penstock.api.weights.ModelFile;
import io.penstock.api.weights.ModelFiles;
import io.penstock.api.weights.ReadChunk;
import io.penstock.api.weights.ReadRequest;
import io.penstock.api.weights.WeightLoaderGrpc;
import io.penstock.model.ErrorCategory;
import io.penstock.model.PenstockException;
import io.penstock.model.checkpoint.LocalFiles;
import io.penstock.model.template.ChatFormat;
import io.penstock.model.tokenizer.PromptText;
import java.io.IOException;
import java.io.RandomAccessFile;
import java.nio.file.Files;
import java.nio.file.Path;
import java.util.Arrays;
import java.util.List;
import java.util.Map;
import java.util.concurrent.TimeUnit;
import java.util.concurrent.atomic.AtomicLong;
import org.junit.jupiter.api.AfterEach;
import org.junit.jupiter.api.BeforeEach;
import org.junit.jupiter.api.Test;

/// A real model's tokenizer and template, from the head of its file alone.
class TestLoaderFiles {
    private static final int CHUNK = 100_000;
    private static final String NAME = "smollm2-135m-instruct.gguf";

    private final Path model = model();
    private final AtomicLong bytesRead = new AtomicLong();
    private volatile boolean shortened;
    private Server server;
    private ManagedChannel channel;

    private static Path model() {
        String cache = System.getenv("PENSTOCK_CACHE");
        Path folder = cache == null ? Path.of(System.getProperty("user.home"), ".cache", "penstock") : Path.of(cache);
        Path model = folder.resolve("models/smollm2-135m-instruct").resolve(NAME);
        assertThat(Files.isRegularFile(model))
                .as("%s is missing; `tools/fetch.sh model` puts it there", model)
                .isTrue();
        return model;
    }

    @BeforeEach
    void serve() throws IOException {
        server = NettyServerBuilder.forPort(0).addService(new Loader()).build().start();
        channel = NettyChannelBuilder.forAddress("localhost", server.getPort())
                .usePlaintext()
                .build();
    }

    @AfterEach
    void stop() throws InterruptedException {
        channel.shutdownNow();
        server.shutdownNow();
        assertThat(server.awaitTermination(5, TimeUnit.SECONDS)).isTrue();
    }

    @Test
    void theHeadIsEnoughAndSaysWhatTheWholeFileSays() throws IOException {
        ChatFormat remote = ChatFormat.read(new LoaderFiles(channel, "smol", ""));
        assertThat(bytesRead.get()).isLessThan(Files.size(model) / 4);
        PromptText prompt = remote.template()
                .orElseThrow()
                .render(Map.of(
                        "messages",
                        List.of(Map.of("role", "user", "content", "<|im_end|> {{ 7*7 }} grüße")),
                        "add_generation_prompt",
                        true,
                        "bos_token",
                        remote.tokens().get("bos_token")));
        int[] tokens = remote.tokenizer().encode(prompt);
        try (LocalFiles files = LocalFiles.at(model)) {
            ChatFormat local = ChatFormat.read(files);
            assertThat(local.tokenizer().encode(prompt)).containsExactly(tokens);
        }
        int end = remote.tokenizer().special("<|im_end|>").orElseThrow();
        // The template's system turn and the user's each end once; what the user wrote ends nothing.
        assertThat(Arrays.stream(tokens).filter(id -> id == end).count()).isEqualTo(2);
        assertThat(prompt.text()).contains("<|im_end|> {{ 7*7 }} grüße");
    }

    @Test
    void bytesThatDoNotComeAreAnError() {
        shortened = true;
        LoaderFiles files = new LoaderFiles(channel, "smol", "");
        assertThatThrownBy(() -> files.head(NAME, 1_000_000))
                .isInstanceOf(PenstockException.class)
                .hasMessageContaining("1000000");
    }

    @Test
    void aModelTheLoaderDoesNotKnow() {
        assertThatThrownBy(() -> new LoaderFiles(channel, "other", ""))
                .isInstanceOfSatisfying(
                        PenstockException.class, e -> assertThat(e.category()).isEqualTo(ErrorCategory.NOT_FOUND));
    }

    private final class Loader extends WeightLoaderGrpc.WeightLoaderImplBase {
        @Override
        public void describe(DescribeRequest request, StreamObserver<ModelFiles> response) {
            if (!request.getModel().equals("smol")) {
                response.onError(ErrorStatus.toStatus(ErrorCategory.NOT_FOUND, "no model other"));
                return;
            }
            response.onNext(ModelFiles.newBuilder()
                    .setModel("smol")
                    .setRevision("r1")
                    .addFiles(ModelFile.newBuilder()
                            .setName(NAME)
                            .setSize(model.toFile().length()))
                    .build());
            response.onCompleted();
        }

        @Override
        public void read(ReadRequest request, StreamObserver<ReadChunk> response) {
            try (RandomAccessFile file = new RandomAccessFile(model.toFile(), "r")) {
                file.seek(request.getOffset());
                long left = shortened ? request.getLength() / 2 : request.getLength();
                while (left > 0) {
                    byte[] chunk = new byte[(int) Math.min(left, CHUNK)];
                    file.readFully(chunk);
                    response.onNext(ReadChunk.newBuilder()
                            .setContent(ByteString.copyFrom(chunk))
                            .build());
                    left -= chunk.length;
                    bytesRead.addAndGet(chunk.length);
                }
                response.onCompleted();
            } catch (IOException e) {
                response.onError(ErrorStatus.toStatus(ErrorCategory.INTERNAL, e.toString()));
            }
        }
    }
}
