package io.penstock.model.checkpoint;

import io.penstock.model.config.ModelConfig;
import io.penstock.model.quant.StoredMatrix;
import java.lang.foreign.MemorySegment;
import java.nio.file.Path;
import java.util.Map;

/// A checkpoint in one GGUF file, which also holds its tokenizer and chat template.
public final class GgufCheckpoint implements Checkpoint {
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
        Path file = Path.of(fileName);
        GgufHead parsed = GgufHead.parse(head, fileLength, file);
        ModelConfig config = GgufConfig.read(parsed, file);
        return new GgufCheckpoint(
                parsed.metadata(),
                config,
                TensorInventory.match(config, parsed.tensors(), NameScheme.GGUF, QuantisationScheme.NONE, file)
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
