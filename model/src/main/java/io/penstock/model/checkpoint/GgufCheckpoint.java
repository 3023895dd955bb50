package io.penstock.model.checkpoint;

import io.penstock.model.config.Experts;
import io.penstock.model.config.ModelConfig;
import io.penstock.model.quant.StoredMatrix;
import java.lang.foreign.MemorySegment;
import java.nio.file.Path;
import java.util.ArrayList;
import java.util.HashSet;
import java.util.List;
import java.util.Map;
import java.util.OptionalLong;
import java.util.Set;

/// A checkpoint in one GGUF file, or one that was split into several, which also holds its tokenizer and chat template.
public final class GgufCheckpoint implements Checkpoint {
    private static final String SPLIT_COUNT = "split.count";

    private final GgufMetadata metadata;
    private final ModelConfig config;
    private final Map<String, TensorLocation> tensors;

    private GgufCheckpoint(GgufMetadata metadata, ModelConfig config, Map<String, TensorLocation> tensors) {
        this.metadata = metadata;
        this.config = config;
        this.tensors = tensors;
    }

    /// @param head the first bytes of the file; not held on to
    /// @param fileLength of the whole file
    /// @param fileName what [TensorLocation#file] and errors call it
    /// @throws HeadTooShortException if more of the file is needed
    /// @throws CheckpointException if the file must not be loaded
    public static GgufCheckpoint parse(MemorySegment head, long fileLength, String fileName) {
        GgufHead parsed = GgufHead.parse(head, fileLength, Path.of(fileName));
        OptionalLong parts = parsed.metadata().integer(SPLIT_COUNT);
        if (parts.orElse(1) > 1) {
            throw parsed.metadata().bad(SPLIT_COUNT, "is %d; name the folder that holds all parts", parts.getAsLong());
        }
        return of(parsed, Path.of(fileName));
    }

    /// A checkpoint in several files, as llama.cpp's gguf-split writes them: the first has the metadata, each has some
    /// of the tensors.
    ///
    /// @param names of the parts, in order
    /// @throws CheckpointException if they must not be loaded, or are not the parts of one checkpoint
    static GgufCheckpoint open(CheckpointFiles files, List<String> names) {
        List<TensorLocation> tensors = new ArrayList<>();
        Set<String> seen = new HashSet<>();
        GgufHead first = null;
        for (int part = 0; part < names.size(); part++) {
            GgufHead head = Checkpoints.growing(
                    files, names.get(part), (bytes, length, name) -> GgufHead.parse(bytes, length, Path.of(name)));
            first = first == null ? head : first;
            agrees(head, SPLIT_COUNT, names.size());
            agrees(head, "split.no", part);
            for (TensorLocation tensor : head.tensors()) {
                if (!seen.add(tensor.name())) {
                    throw new CheckpointException(tensor.file(), tensor.name(), "is in another part too");
                }
            }
            tensors.addAll(head.tensors());
        }
        if (first == null) {
            throw new IllegalArgumentException("no parts");
        }
        agrees(first, "split.tensors.count", tensors.size());
        return of(new GgufHead(first.metadata(), tensors), Path.of(names.getFirst()));
    }

    private static void agrees(GgufHead head, String key, long wanted) {
        OptionalLong value = head.metadata().integer(key);
        if (value.isEmpty() || value.getAsLong() != wanted) {
            throw head.metadata()
                    .bad(key, "is %s, %d is expected", value.isPresent() ? value.getAsLong() : "missing", wanted);
        }
    }

    private static GgufCheckpoint of(GgufHead parsed, Path file) {
        ModelConfig config = GgufConfig.read(parsed, file);
        List<TensorLocation> tensors = StackedTensors.part(
                parsed.tensors(), config.experts().map(Experts::count).orElse(0));
        return new GgufCheckpoint(
                parsed.metadata(),
                config,
                TensorInventory.match(config, tensors, NameScheme.ofGguf(config), QuantisationScheme.NONE, file)
                        .tensors());
    }

    public GgufMetadata metadata() {
        return metadata;
    }

    @Override
    public ModelConfig config() {
        return config;
    }

    @Override
    public Map<String, TensorLocation> tensors() {
        return tensors;
    }

    @Override
    public Map<String, StoredMatrix> matrices() {
        return Map.of();
    }
}
