package io.penstock.model.checkpoint;

import com.fasterxml.jackson.databind.ObjectMapper;
import com.fasterxml.jackson.databind.node.ObjectNode;
import io.penstock.model.config.ModelConfig;
import io.penstock.model.config.ModelConfig.Architecture;
import io.penstock.model.config.ModelConfig.RopeLayout;
import io.penstock.model.config.RopeScaling;
import io.penstock.model.tensor.DType;
import io.penstock.model.tensor.LayerTensor;
import io.penstock.model.tensor.Shape;
import io.penstock.model.tensor.TensorLayout;
import io.penstock.model.tensor.TensorNames;
import java.io.IOException;
import java.nio.file.Files;
import java.nio.file.Path;
import java.util.ArrayList;
import java.util.LinkedHashMap;
import java.util.List;
import java.util.Map;
import java.util.SplittableRandom;
import java.util.stream.IntStream;

/// Small random models, written as real checkpoints are: the same weights as a GGUF file and as a Hugging Face folder.
///
/// Three groups of two heads, five MLP blocks, an odd vocabulary and a head size that is not hidden / heads: nothing
/// divides evenly by accident.
public final class TinyCheckpoints {
    private static final ObjectMapper JSON = new ObjectMapper();

    private TinyCheckpoints() {}

    /// Of the layout that Hugging Face folders have; a GGUF file of it reads as [RopeLayout#INTERLEAVED] for Llama.
    public static ModelConfig config(Architecture architecture, boolean tiedEmbeddings) {
        return new ModelConfig(
                architecture,
                5,
                96,
                160,
                6,
                3,
                32,
                131,
                512,
                1e-5f,
                10_000,
                RopeLayout.HALVES,
                new RopeScaling.None(),
                architecture == Architecture.QWEN2,
                tiedEmbeddings);
    }

    /// Weights by canonical name, rows of q and k in the order that [RopeLayout#HALVES] wants.
    public static Map<String, float[]> weights(ModelConfig config, long seed) {
        SplittableRandom random = new SplittableRandom(seed);
        Map<String, float[]> weights = new LinkedHashMap<>();
        for (TensorLayout tensor : TensorLayout.of(config)) {
            float[] values = new float[Math.toIntExact(tensor.shape().elementCount())];
            boolean norm = tensor.name().endsWith("norm");
            // Such that activations neither vanish nor explode.
            double spread = tensor.shape().rank() == 1
                    ? 0.1
                    : 1 / Math.sqrt((double) tensor.shape().extent(1));
            for (int i = 0; i < values.length; i++) {
                values[i] = (float) ((norm ? 1 : 0) + spread * random.nextGaussian());
            }
            weights.put(tensor.name(), values);
        }
        return weights;
    }

    /// @param matrices how matrices are stored; vectors are F32
    public static GgufWriter gguf(ModelConfig config, DType matrices, long seed) {
        String prefix = config.architecture().name().toLowerCase(java.util.Locale.ROOT);
        GgufWriter writer = new GgufWriter()
                .put("general.architecture", prefix)
                .put("general.name", "tiny")
                .put(prefix + ".block_count", config.layers())
                .put(prefix + ".context_length", config.contextLength())
                .put(prefix + ".embedding_length", config.hiddenSize())
                .put(prefix + ".feed_forward_length", config.intermediateSize())
                .put(prefix + ".attention.head_count", config.heads())
                .put(prefix + ".attention.head_count_kv", config.kvHeads())
                .put(prefix + ".attention.key_length", config.headSize())
                .put(prefix + ".attention.value_length", config.headSize())
                .put(prefix + ".attention.layer_norm_rms_epsilon", (float) config.rmsNormEpsilon())
                .put(prefix + ".rope.freq_base", (float) config.ropeTheta())
                .put(prefix + ".rope.dimension_count", config.headSize())
                .put(prefix + ".vocab_size", config.vocabularySize())
                .put("tokenizer.ggml.model", "gpt2")
                .put("tokenizer.ggml.pre", "smollm")
                .put(
                        "tokenizer.ggml.tokens",
                        IntStream.range(0, config.vocabularySize())
                                .mapToObj(id -> id == 0 ? "<|end|>" : "t" + id)
                                .toList())
                .put(
                        "tokenizer.ggml.token_type",
                        IntStream.range(0, config.vocabularySize())
                                .map(id -> id == 0 ? 3 : 1)
                                .toArray())
                .put("tokenizer.ggml.merges", List.of("t 1"))
                .put("tokenizer.ggml.eos_token_id", 0)
                .put("tokenizer.ggml.add_bos_token", false)
                .put("tokenizer.chat_template", "{{ messages[0]['content'] }}");
        Map<String, float[]> weights = weights(config, seed);
        for (TensorLayout tensor : TensorLayout.of(config)) {
            float[] values = weights.get(tensor.name());
            if (config.architecture() == Architecture.LLAMA) {
                values = interleaved(config, tensor, values);
            }
            DType dtype = tensor.shape().rank() == 1 ? DType.F32 : matrices;
            writer.tensor(
                    NameScheme.GGUF.spell(tensor.name()), dtype, tensor.shape(), BlockEncoder.encode(dtype, values));
        }
        return writer;
    }

    /// Writes a GGUF file.
    ///
    /// @param matrices how matrices are stored; vectors are F32
    public static void writeGguf(Path file, ModelConfig config, DType matrices, long seed) throws IOException {
        Files.write(file, gguf(config, matrices, seed).toBytes());
    }

    /// Writes `config.json`, and the tensors into one file, or several with an index.
    ///
    /// @param dtype F32, F16 or BF16
    /// @param shards number of files
    public static void writeFolder(Path folder, ModelConfig config, DType dtype, int shards, long seed)
            throws IOException {
        Files.createDirectories(folder);
        Files.writeString(folder.resolve("config.json"), configJson(config).toPrettyString());
        List<SafetensorsWriter> writers = new ArrayList<>();
        IntStream.range(0, shards).forEach(i -> writers.add(new SafetensorsWriter()));
        ObjectNode index = JSON.createObjectNode();
        ObjectNode weightMap = index.putObject("weight_map");
        Map<String, float[]> weights = weights(config, seed);
        int next = 0;
        for (TensorLayout tensor : TensorLayout.of(config)) {
            int shard = next++ % shards;
            String name = NameScheme.HUGGING_FACE.spell(tensor.name());
            Shape shape = tensor.shape();
            writers.get(shard).tensor(name, dtype, shape, BlockEncoder.encode(dtype, weights.get(tensor.name())));
            weightMap.put(name, shardName(shard, shards));
        }
        for (int shard = 0; shard < shards; shard++) {
            String name = shards == 1 ? "model.safetensors" : shardName(shard, shards);
            Files.write(folder.resolve(name), writers.get(shard).toBytes());
        }
        if (shards > 1) {
            Files.writeString(folder.resolve("model.safetensors.index.json"), index.toPrettyString());
        }
    }

    /// What transformers would write for it.
    static ObjectNode configJson(ModelConfig config) {
        ObjectNode json = JSON.createObjectNode();
        boolean llama = config.architecture() == Architecture.LLAMA;
        json.putArray("architectures").add(llama ? "LlamaForCausalLM" : "Qwen2ForCausalLM");
        json.put("model_type", llama ? "llama" : "qwen2");
        json.put("hidden_act", "silu");
        json.put("num_hidden_layers", config.layers());
        json.put("hidden_size", config.hiddenSize());
        json.put("intermediate_size", config.intermediateSize());
        json.put("num_attention_heads", config.heads());
        json.put("num_key_value_heads", config.kvHeads());
        json.put("head_dim", config.headSize());
        json.put("vocab_size", config.vocabularySize());
        json.put("max_position_embeddings", config.contextLength());
        json.put("rms_norm_eps", config.rmsNormEpsilon());
        json.put("rope_theta", config.ropeTheta());
        json.put("tie_word_embeddings", config.tiedEmbeddings());
        json.put("torch_dtype", "bfloat16");
        return json;
    }

    private static String shardName(int shard, int shards) {
        return "model-%05d-of-%05d.safetensors".formatted(shard + 1, shards);
    }

    /// Rows of each head of q and k reordered so that a pair that rotates together stands together, as converters do.
    private static float[] interleaved(ModelConfig config, TensorLayout tensor, float[] values) {
        boolean rotated =
                List.of(LayerTensor.QUERY, LayerTensor.KEY, LayerTensor.QUERY_BIAS, LayerTensor.KEY_BIAS).stream()
                        .anyMatch(kind -> tensor.place() instanceof TensorLayout.Place.Layer(int layer)
                                && tensor.name().equals(TensorNames.layer(layer, kind)));
        if (!rotated) {
            return values;
        }
        int rows = Math.toIntExact(tensor.shape().extent(0));
        int columns = values.length / rows;
        int half = config.headSize() / 2;
        float[] moved = new float[values.length];
        for (int row = 0; row < rows; row++) {
            int head = row / config.headSize();
            int element = row % config.headSize();
            int target = head * config.headSize() + (element < half ? 2 * element : 2 * (element - half) + 1);
            System.arraycopy(values, row * columns, moved, target * columns, columns);
        }
        return moved;
    }
}
