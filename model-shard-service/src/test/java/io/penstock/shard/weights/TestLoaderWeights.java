package io.penstock.shard.weights;

import static org.assertj.core.api.Assertions.assertThat;
import static org.assertj.core.api.Assertions.assertThatThrownBy;

import io.grpc.ManagedChannel;
import io.grpc.ManagedChannelBuilder;
import io.grpc.Server;
import io.grpc.netty.NettyServerBuilder;
import io.grpc.stub.StreamObserver;
import io.penstock.api.ErrorStatus;
import io.penstock.api.weights.ByteRange;
import io.penstock.api.weights.Complete;
import io.penstock.api.weights.DescribeRequest;
import io.penstock.api.weights.EnsureEvent;
import io.penstock.api.weights.EnsureRequest;
import io.penstock.api.weights.FileRanges;
import io.penstock.api.weights.Located;
import io.penstock.api.weights.LocatedFile;
import io.penstock.api.weights.ModelFile;
import io.penstock.api.weights.ModelFiles;
import io.penstock.api.weights.TransferProgress;
import io.penstock.api.weights.WeightLoaderGrpc;
import io.penstock.model.ErrorCategory;
import io.penstock.model.PenstockException;
import io.penstock.model.checkpoint.FileExtents;
import io.penstock.model.tensor.RankSlice;
import io.penstock.shard.RealModel;
import java.io.IOException;
import java.io.RandomAccessFile;
import java.net.InetAddress;
import java.net.InetSocketAddress;
import java.nio.ByteBuffer;
import java.nio.channels.FileChannel;
import java.nio.file.Files;
import java.nio.file.Path;
import java.util.ArrayList;
import java.util.List;
import java.util.Map;
import org.junit.jupiter.api.AfterEach;
import org.junit.jupiter.api.BeforeEach;
import org.junit.jupiter.api.Test;
import org.junit.jupiter.api.io.TempDir;

class TestLoaderWeights {
    private static final String FILE = "smollm2-135m-instruct.gguf";

    @TempDir
    private Path cache;

    private final Loader loader = new Loader();
    private Server server;
    private ManagedChannel channel;

    @BeforeEach
    void start() throws IOException {
        server = NettyServerBuilder.forAddress(new InetSocketAddress(InetAddress.getLoopbackAddress(), 0))
                .addService(loader)
                .build()
                .start();
        channel = ManagedChannelBuilder.forAddress("127.0.0.1", server.getPort())
                .usePlaintext()
                .build();
    }

    @AfterEach
    void stop() {
        channel.shutdownNow();
        server.shutdownNow();
    }

    @Test
    void fetchesTheHeadAndThenTheSlicesBytesOnly() throws IOException {
        LoaderWeights weights = LoaderWeights.open(channel, "smol", "");
        assertThat(weights.revision()).isEqualTo("pinned");
        assertThat(weights.checkpoint().config().layers()).isEqualTo(30);
        // The head, not the file.
        assertThat(loader.bytesAsked()).isLessThan(Files.size(RealModel.path()) / 4);

        RankSlice slice = RankSlice.of(weights.checkpoint().config(), 1, 3, 1, 2);
        long before = loader.bytesAsked();
        List<Long> progress = new ArrayList<>();
        Map<String, Path> files = weights.ensure(slice, (present, total) -> progress.add(present));
        assertThat(files).containsOnlyKeys(FILE);
        long needed = FileExtents.of(weights.checkpoint(), slice, FileExtents.DEFAULT_GAP).stream()
                .mapToLong(FileExtents::length)
                .sum();
        assertThat(loader.bytesAsked() - before).isEqualTo(needed);
        assertThat(progress).isNotEmpty();
        // What was asked for is what lies there.
        FileExtents extents = FileExtents.of(weights.checkpoint(), slice, 0).getFirst();
        try (FileChannel ours = FileChannel.open(files.get(FILE));
                FileChannel original = FileChannel.open(RealModel.path())) {
            for (var extent : extents.extents()) {
                assertThat(read(ours, extent.offset(), extent.length()))
                        .isEqualTo(read(original, extent.offset(), extent.length()));
            }
        }
    }

    private static ByteBuffer read(FileChannel channel, long offset, long length) throws IOException {
        ByteBuffer bytes = ByteBuffer.allocate(Math.toIntExact(length));
        while (bytes.hasRemaining() && channel.read(bytes, offset + bytes.position()) >= 0) {
            // Until all of it is here.
        }
        return bytes.flip();
    }

    @Test
    void theLoadersRefusalIsPassedOn() {
        loader.refusal = new PenstockException(ErrorCategory.NOT_FOUND, "no model smol is configured");
        assertThatThrownBy(() -> LoaderWeights.open(channel, "smol", ""))
                .isInstanceOfSatisfying(
                        PenstockException.class, e -> assertThat(e.category()).isEqualTo(ErrorCategory.NOT_FOUND))
                .hasMessage("no model smol is configured");
    }

    @Test
    void aLoaderOnAnotherNodeIsFoundOut() {
        loader.shownPath = cache.resolve("nowhere").toString();
        assertThatThrownBy(() -> LoaderWeights.open(channel, "smol", ""))
                .isInstanceOfSatisfying(
                        PenstockException.class, e -> assertThat(e.category()).isEqualTo(ErrorCategory.NOT_FOUND))
                .hasMessageContaining("must be mounted at the same path");
    }

    @Test
    void anAnswerThatEndsEarlyIsNoAnswer() {
        LoaderWeights weights = LoaderWeights.open(channel, "smol", "");
        RankSlice slice = RankSlice.of(weights.checkpoint().config(), 0, 1, 0, 1);
        loader.endsEarly = true;
        assertThatThrownBy(() -> weights.ensure(slice, (present, total) -> {}))
                .hasMessageContaining("ended its answer for smol early");
    }

    /// Keeps to `weights.proto`: copies the ranges asked for into a sparse file.
    private final class Loader extends WeightLoaderGrpc.WeightLoaderImplBase {
        private final List<EnsureRequest> requests = new ArrayList<>();
        private PenstockException refusal;
        private String shownPath;
        private boolean endsEarly;

        long bytesAsked() {
            return requests.stream()
                    .flatMap(request -> request.getFilesList().stream())
                    .flatMap(file -> file.getRangesList().stream())
                    .mapToLong(ByteRange::getLength)
                    .sum();
        }

        @Override
        public void describe(DescribeRequest request, StreamObserver<ModelFiles> answer) {
            if (refusal != null) {
                answer.onError(ErrorStatus.toStatus(refusal));
                return;
            }
            answer.onNext(ModelFiles.newBuilder()
                    .setModel(request.getModel())
                    .setRevision("pinned")
                    .addFiles(ModelFile.newBuilder()
                            .setName(FILE)
                            .setSize(RealModel.path().toFile().length()))
                    .build());
            answer.onCompleted();
        }

        @Override
        public void ensure(EnsureRequest request, StreamObserver<EnsureEvent> answer) {
            requests.add(request);
            assertThat(request.getRevision()).isEqualTo("pinned");
            long size = RealModel.path().toFile().length();
            Path copy = cache.resolve(FILE);
            try (RandomAccessFile to = new RandomAccessFile(copy.toFile(), "rw");
                    FileChannel from = FileChannel.open(RealModel.path())) {
                to.setLength(size);
                for (FileRanges file : request.getFilesList()) {
                    for (ByteRange range : file.getRangesList()) {
                        to.getChannel().position(range.getOffset());
                        from.transferTo(range.getOffset(), range.getLength(), to.getChannel());
                    }
                }
            } catch (IOException e) {
                answer.onError(e);
                return;
            }
            answer.onNext(EnsureEvent.newBuilder()
                    .setLocated(Located.newBuilder()
                            .addFiles(LocatedFile.newBuilder()
                                    .setName(FILE)
                                    .setPath(shownPath == null ? copy.toString() : shownPath)
                                    .setSize(size)))
                    .build());
            answer.onNext(EnsureEvent.newBuilder()
                    .setProgress(
                            TransferProgress.newBuilder().setBytesPresent(1).setBytesNeeded(2))
                    .build());
            if (!endsEarly) {
                answer.onNext(EnsureEvent.newBuilder()
                        .setComplete(Complete.getDefaultInstance())
                        .build());
            }
            answer.onCompleted();
        }
    }
}
