package io.penstock.shard.weights;

import io.grpc.Channel;
import io.grpc.StatusRuntimeException;
import io.penstock.api.ErrorStatus;
import io.penstock.api.weights.ByteRange;
import io.penstock.api.weights.DescribeRequest;
import io.penstock.api.weights.EnsureEvent;
import io.penstock.api.weights.EnsureRequest;
import io.penstock.api.weights.FileRanges;
import io.penstock.api.weights.LocatedFile;
import io.penstock.api.weights.ModelFile;
import io.penstock.api.weights.ModelFiles;
import io.penstock.api.weights.WeightLoaderGrpc;
import io.penstock.model.ErrorCategory;
import io.penstock.model.PenstockException;
import io.penstock.model.checkpoint.Checkpoint;
import io.penstock.model.checkpoint.CheckpointFiles;
import io.penstock.model.checkpoint.Checkpoints;
import io.penstock.model.checkpoint.Extent;
import io.penstock.model.checkpoint.FileExtents;
import io.penstock.model.tensor.RankSlice;
import java.io.IOException;
import java.lang.foreign.Arena;
import java.lang.foreign.MemorySegment;
import java.nio.channels.FileChannel;
import java.nio.channels.FileChannel.MapMode;
import java.nio.file.Files;
import java.nio.file.Path;
import java.nio.file.StandardOpenOption;
import java.util.HashMap;
import java.util.Iterator;
import java.util.List;
import java.util.Map;
import java.util.Set;
import java.util.TreeMap;
import java.util.concurrent.TimeUnit;

/// A checkpoint that the node's weight-loader holds or fetches: of each file the head, then the ranges of
/// the slice.
public final class LoaderWeights implements Weights {
    private static final long DESCRIBE_SECONDS = 60;

    private final WeightLoaderGrpc.WeightLoaderBlockingStub loader;
    private final String model;
    private final String revision;
    private final Map<String, Long> sizes;
    private final Checkpoint checkpoint;

    private LoaderWeights(WeightLoaderGrpc.WeightLoaderBlockingStub loader, String model, ModelFiles described) {
        this.loader = loader;
        this.model = model;
        revision = described.getRevision();
        sizes = new TreeMap<>();
        for (ModelFile file : described.getFilesList()) {
            sizes.put(file.getName(), file.getSize());
        }
        try (Heads heads = new Heads()) {
            checkpoint = Checkpoints.open(heads);
        }
    }

    /// Asks what the model is, and reads the heads of its files.
    ///
    /// @param revision empty: the loader's choice
    /// @throws PenstockException if the loader cannot be reached, does not know the model, or the checkpoint
    ///     must not be loaded
    public static LoaderWeights open(Channel channel, String model, String revision) {
        WeightLoaderGrpc.WeightLoaderBlockingStub loader = WeightLoaderGrpc.newBlockingStub(channel);
        try {
            ModelFiles described = loader.withDeadlineAfter(DESCRIBE_SECONDS, TimeUnit.SECONDS)
                    .describe(DescribeRequest.newBuilder()
                            .setModel(model)
                            .setRevision(revision)
                            .build());
            return new LoaderWeights(loader, model, described);
        } catch (StatusRuntimeException e) {
            throw ErrorStatus.fromStatus(e);
        }
    }

    @Override
    public Checkpoint checkpoint() {
        return checkpoint;
    }

    @Override
    public String revision() {
        return revision;
    }

    @Override
    public Map<String, Path> ensure(RankSlice slice, Progress progress) {
        EnsureRequest.Builder request =
                EnsureRequest.newBuilder().setModel(model).setRevision(revision);
        for (FileExtents file : FileExtents.of(checkpoint, slice, FileExtents.DEFAULT_GAP)) {
            FileRanges.Builder ranges =
                    FileRanges.newBuilder().setName(file.file().toString());
            for (Extent extent : file.extents()) {
                ranges.addRanges(
                        ByteRange.newBuilder().setOffset(extent.offset()).setLength(extent.length()));
            }
            request.addFiles(ranges);
        }
        return ensure(request.build(), progress);
    }

    private Map<String, Path> ensure(EnsureRequest request, Progress progress) {
        Map<String, Path> paths = new HashMap<>();
        boolean complete = false;
        try {
            Iterator<EnsureEvent> events = loader.ensure(request);
            while (events.hasNext()) {
                EnsureEvent event = events.next();
                switch (event.getEventCase()) {
                    case LOCATED ->
                        event.getLocated().getFilesList().forEach(file -> paths.put(file.getName(), checked(file)));
                    case PROGRESS ->
                        progress.present(
                                event.getProgress().getBytesPresent(),
                                event.getProgress().getBytesNeeded());
                    case COMPLETE -> complete = true;
                    case PRESENT, EVENT_NOT_SET -> {}
                }
            }
        } catch (StatusRuntimeException e) {
            throw ErrorStatus.fromStatus(e);
        }
        List<String> missing = request.getFilesList().stream()
                .map(FileRanges::getName)
                .filter(name -> !paths.containsKey(name))
                .toList();
        if (!complete || !missing.isEmpty()) {
            throw new PenstockException(
                    ErrorCategory.INTERNAL,
                    "the weight-loader ended its answer for %s early: complete=%s, not located: %s",
                    model,
                    complete,
                    missing);
        }
        return paths;
    }

    // The loader may be on another node by mistake: then its paths mean nothing here.
    private Path checked(LocatedFile file) {
        Path path = Path.of(file.getPath());
        try {
            long size = Files.size(path);
            if (size != file.getSize()) {
                throw new PenstockException(
                        ErrorCategory.CORRUPT,
                        "%s has %d bytes, the weight-loader says %d",
                        path,
                        size,
                        file.getSize());
            }
        } catch (IOException e) {
            throw new PenstockException(
                    ErrorCategory.NOT_FOUND,
                    e,
                    "%s, where the weight-loader put %s, cannot be read here (%s); its cache folder must be mounted at the same path",
                    path,
                    file.getName(),
                    e.getMessage());
        }
        return path;
    }

    /// Heads, made present one by one and mapped.
    private final class Heads implements CheckpointFiles, AutoCloseable {
        private final Arena arena = Arena.ofShared();

        @Override
        public Set<String> names() {
            return sizes.keySet();
        }

        @Override
        public long size(String name) {
            return sizes.get(name);
        }

        @Override
        public MemorySegment head(String name, long atLeast) {
            FileRanges range = FileRanges.newBuilder()
                    .setName(name)
                    .addRanges(ByteRange.newBuilder().setOffset(0).setLength(atLeast))
                    .build();
            Path path = ensure(
                            EnsureRequest.newBuilder()
                                    .setModel(model)
                                    .setRevision(revision)
                                    .addFiles(range)
                                    .build(),
                            (present, total) -> {})
                    .get(name);
            try (FileChannel channel = FileChannel.open(path, StandardOpenOption.READ)) {
                return channel.map(MapMode.READ_ONLY, 0, Math.min(atLeast, channel.size()), arena);
            } catch (IOException e) {
                throw new PenstockException(
                        ErrorCategory.NOT_FOUND, e, "%s cannot be mapped: %s", path, e.getMessage());
            }
        }

        @Override
        public void close() {
            arena.close();
        }
    }
}
