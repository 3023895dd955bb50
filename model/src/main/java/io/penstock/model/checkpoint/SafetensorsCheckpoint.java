package io.penstock.model.checkpoint;

import io.penstock.model.config.ModelConfig;
import io.penstock.model.quant.StoredMatrix;
import io.penstock.model.tensor.Shape;
import io.penstock.model.tensor.TensorNames;
import java.lang.foreign.MemorySegment;
import java.nio.file.Path;
import java.util.ArrayList;
import java.util.HashMap;
import java.util.List;
import java.util.Map;
import java.util.Set;
import java.util.TreeSet;
import java.util.regex.Pattern;

/// A checkpoint as Hugging Face publishes it: `config.json`, one or more safetensors files, the
/// tokenizer beside them.
public final class SafetensorsCheckpoint implements Checkpoint {
    static final String CONFIG = "config.json";
    static final String SINGLE = "model.safetensors";
    static final String INDEX = "model.safetensors.index.json";

    private static final long LONGEST_INDEX = 64 << 20;
    /// Bounds the objects made for an index.
    private static final int MOST_TENSORS = 1 << 17;
    /// No separator, no "..": a file beside the index and nowhere else.
    private static final Pattern FILE_NAME = Pattern.compile("[A-Za-z0-9_][A-Za-z0-9._-]{0,200}\\.safetensors");

    private final ModelConfig config;
    private final TensorInventory inventory;

    private SafetensorsCheckpoint(ModelConfig config, TensorInventory inventory) {
        this.config = config;
        this.inventory = inventory;
    }

    static SafetensorsCheckpoint open(CheckpointFiles files) {
        HuggingFaceConfig settings = HuggingFaceConfig.parse(whole(files, CONFIG, HuggingFaceConfig.LONGEST));
        ModelConfig config = settings.read();
        QuantisationScheme scheme = settings.quantisation();
        NameScheme names = NameScheme.of(config);
        List<TensorLocation> found = new ArrayList<>();
        Path listed;
        // As transformers prefers them.
        if (!files.names().contains(SINGLE) && files.names().contains(INDEX)) {
            listed = Path.of(INDEX);
            Map<String, String> index = index(files);
            for (String file : new TreeSet<>(index.values())) {
                for (TensorLocation tensor : Checkpoints.growing(files, file, SafetensorsHead::parse)) {
                    if (!file.equals(index.remove(tensor.name()))) {
                        throw new CheckpointException(
                                tensor.file(), tensor.name(), "is here, but not by what %s says", INDEX);
                    }
                    found.add(tensor);
                }
            }
            index.forEach((name, file) -> {
                throw new CheckpointException(listed, name, "should be in %s and is not", file);
            });
        } else {
            String single = single(files);
            listed = Path.of(single);
            found.addAll(Checkpoints.growing(files, single, SafetensorsHead::parse));
        }
        if (config.tiedEmbeddings()) {
            // Some writers save the tied matrix twice; transformers reads the embedding in its place,
            // and so do we.
            Shape vocabulary = Shape.of(config.vocabularySize(), config.hiddenSize());
            String output = NameScheme.HUGGING_FACE.spell(TensorNames.OUTPUT);
            found.removeIf(
                    tensor -> tensor.name().equals(output) && tensor.shape().equals(vocabulary));
        }
        // Layers behind the last one guess further tokens (`num_nextn_predict_layers`); nothing here uses them.
        int guessing = config.layers() + settings.guessingLayers();
        found.removeIf(tensor -> {
            int layer = names.layer(tensor.name()).orElse(0);
            return layer >= config.layers() && layer < guessing;
        });
        List<TensorLocation> parted = FusedTensors.part(found, config);
        return new SafetensorsCheckpoint(config, TensorInventory.match(config, parted, names, scheme, listed));
    }

    private static String single(CheckpointFiles files) {
        if (files.names().contains(SINGLE)) {
            return SINGLE;
        }
        List<String> candidates = files.names().stream()
                .filter(name -> FILE_NAME.matcher(name).matches())
                .sorted()
                .toList();
        if (candidates.size() != 1) {
            throw new CheckpointException(
                    Path.of(INDEX),
                    "folder",
                    "neither %s nor an index, and %d other .safetensors files: %s",
                    SINGLE,
                    candidates.size(),
                    candidates.stream().limit(20).toList());
        }
        return candidates.getFirst();
    }

    /// @return file by tensor
    private static Map<String, String> index(CheckpointFiles files) {
        Map<String, String> fileByTensor = new HashMap<>();
        Map<String, String> names = new HashMap<>();
        Set<String> present = files.names();
        try (StrictJson json = StrictJson.over(whole(files, INDEX, LONGEST_INDEX), Path.of(INDEX), 0)) {
            json.object("index", key -> {
                if (!key.equals("weight_map")) {
                    // `metadata.total_size` is nobody's promise.
                    json.skip(key);
                    return;
                }
                json.object(key, tensor -> {
                    String file = json.string(tensor);
                    if (!FILE_NAME.matcher(file).matches() || !present.contains(file)) {
                        throw json.bad(tensor, "names \"%.80s\", which is no file of this folder", file);
                    }
                    if (fileByTensor.size() == MOST_TENSORS) {
                        throw json.bad(tensor, "more than %d tensors", MOST_TENSORS);
                    }
                    fileByTensor.put(tensor, names.computeIfAbsent(file, same -> same));
                });
            });
            json.end();
        }
        if (fileByTensor.isEmpty()) {
            throw new CheckpointException(Path.of(INDEX), "weight_map", "is missing or empty");
        }
        return fileByTensor;
    }

    private static MemorySegment whole(CheckpointFiles files, String name, long longest) {
        long size = files.size(name);
        if (size < 1 || size > longest) {
            throw new CheckpointException(Path.of(name), "size", "is %d bytes, must lie in [1, %d]", size, longest);
        }
        MemorySegment head = files.head(name, size);
        if (head.byteSize() < size) {
            throw new CheckpointException(
                    Path.of(name), "size", "%d bytes came where %d were asked for", head.byteSize(), size);
        }
        return head.asSlice(0, size);
    }

    @Override
    public ModelConfig config() {
        return config;
    }

    @Override
    public Map<String, TensorLocation> tensors() {
        return inventory.tensors();
    }

    @Override
    public Map<String, StoredMatrix> matrices() {
        return inventory.matrices();
    }
}
