package io.penstock.gateway.catalogue;

import io.grpc.Channel;
import io.grpc.StatusRuntimeException;
import io.penstock.api.ErrorStatus;
import io.penstock.api.weights.DescribeRequest;
import io.penstock.api.weights.ModelFile;
import io.penstock.api.weights.ModelFiles;
import io.penstock.api.weights.ReadChunk;
import io.penstock.api.weights.ReadRequest;
import io.penstock.api.weights.WeightLoaderGrpc;
import io.penstock.api.weights.WeightLoaderGrpc.WeightLoaderBlockingStub;
import io.penstock.model.ErrorCategory;
import io.penstock.model.PenstockException;
import io.penstock.model.checkpoint.CheckpointFiles;
import java.io.ByteArrayOutputStream;
import java.lang.foreign.MemorySegment;
import java.util.HashMap;
import java.util.Iterator;
import java.util.Map;
import java.util.Set;
import java.util.TreeMap;
import java.util.concurrent.TimeUnit;

/// A checkpoint behind a weight-loader, which hands out the first bytes of its files.
final class LoaderFiles implements CheckpointFiles {
    static final int LARGEST_CHUNK = 16 << 20;

    /// Past this a head is no head; the loader's own limit for a call.
    private static final long LARGEST_HEAD = 256L << 20;

    private static final long PATIENCE_SECONDS = 120;

    private final Channel channel;
    private final String model;
    private final String revision;
    private final Map<String, Long> sizes = new TreeMap<>();
    private final Map<String, byte[]> heads = new HashMap<>();

    /// Asks for the list of files.
    ///
    /// @throws PenstockException if the loader does not know the model, or cannot be reached
    LoaderFiles(Channel channel, String model, String revision) {
        this.channel = channel;
        this.model = model;
        try {
            ModelFiles files = stub().describe(DescribeRequest.newBuilder()
                    .setModel(model)
                    .setRevision(revision)
                    .build());
            this.revision = files.getRevision();
            for (ModelFile file : files.getFilesList()) {
                sizes.put(file.getName(), file.getSize());
            }
        } catch (StatusRuntimeException e) {
            throw ErrorStatus.fromStatus(e);
        }
    }

    private WeightLoaderBlockingStub stub() {
        return WeightLoaderGrpc.newBlockingStub(channel).withDeadlineAfter(PATIENCE_SECONDS, TimeUnit.SECONDS);
    }

    @Override
    public Set<String> names() {
        return Set.copyOf(sizes.keySet());
    }

    @Override
    public long size(String name) {
        Long size = sizes.get(name);
        if (size == null) {
            throw new PenstockException(ErrorCategory.NOT_FOUND, "no file %s among %s", name, sizes.keySet());
        }
        return size;
    }

    @Override
    public MemorySegment head(String name, long atLeast) {
        long wanted = Math.min(atLeast, size(name));
        byte[] head = heads.getOrDefault(name, new byte[0]);
        if (head.length < wanted) {
            if (wanted > LARGEST_HEAD) {
                throw new PenstockException(
                        ErrorCategory.CORRUPT,
                        "%s needs the first %d bytes read, at most %d are",
                        name,
                        wanted,
                        LARGEST_HEAD);
            }
            head = grow(name, head, (int) wanted);
            heads.put(name, head);
        }
        return MemorySegment.ofArray(head).asReadOnly();
    }

    private byte[] grow(String name, byte[] head, int wanted) {
        ByteArrayOutputStream grown = new ByteArrayOutputStream(wanted);
        grown.writeBytes(head);
        try {
            Iterator<ReadChunk> chunks = stub().read(ReadRequest.newBuilder()
                    .setModel(model)
                    .setRevision(revision)
                    .setName(name)
                    .setOffset(head.length)
                    .setLength(wanted - head.length)
                    .build());
            while (chunks.hasNext()) {
                byte[] chunk = chunks.next().getContent().toByteArray();
                if (chunk.length > wanted - grown.size()) {
                    throw new PenstockException(
                            ErrorCategory.CORRUPT, "%s: more than the %d bytes asked for came", name, wanted);
                }
                grown.writeBytes(chunk);
            }
        } catch (StatusRuntimeException e) {
            throw ErrorStatus.fromStatus(e);
        }
        if (grown.size() < wanted) {
            throw new PenstockException(ErrorCategory.CORRUPT, "%s: %d of %d bytes came", name, grown.size(), wanted);
        }
        return grown.toByteArray();
    }
}
