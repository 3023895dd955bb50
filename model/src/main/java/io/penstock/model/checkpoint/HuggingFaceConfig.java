package io.penstock.model.checkpoint;

import com.fasterxml.jackson.core.JsonProcessingException;
import com.fasterxml.jackson.databind.DeserializationFeature;
import com.fasterxml.jackson.databind.JsonNode;
import com.fasterxml.jackson.databind.ObjectMapper;
import com.google.errorprone.annotations.FormatMethod;
import com.google.errorprone.annotations.FormatString;
import io.penstock.model.PenstockException;
import io.penstock.model.config.ModelConfig;
import io.penstock.model.config.ModelConfig.Architecture;
import io.penstock.model.config.ModelConfig.RopeLayout;
import io.penstock.model.config.RopeScaling;
import java.lang.foreign.MemorySegment;
import java.nio.charset.CharacterCodingException;
import java.nio.charset.CodingErrorAction;
import java.nio.charset.StandardCharsets;
import java.nio.file.Path;
import java.util.List;
import java.util.Optional;

/// The configuration that a Hugging Face `config.json` describes, with transformers' defaults. Settings
/// that would change
/// the arithmetic in a way that is not built are refused, and so is a file that says two things at once.
final class HuggingFaceConfig {
    /// Real ones have some 1,000 bytes. Bounds the tree made of it.
    static final long LONGEST = 256 << 10;

    private static final Path FILE = Path.of(SafetensorsCheckpoint.CONFIG);
    private static final ObjectMapper JSON =
            new ObjectMapper(StrictJson.FACTORY).enable(DeserializationFeature.FAIL_ON_TRAILING_TOKENS);

    private final JsonNode json;
    private final Architecture architecture;

    private HuggingFaceConfig(JsonNode json) {
        this.json = json;
        this.architecture = architecture();
    }

    /// @param text the whole file
    static ModelConfig read(MemorySegment text) {
        return parse(text).read();
    }

    /// @param text the whole file
    static HuggingFaceConfig parse(MemorySegment text) {
        JsonNode json;
        try {
            String decoded = StandardCharsets.UTF_8
                    .newDecoder()
                    .onMalformedInput(CodingErrorAction.REPORT)
                    .decode(text.asByteBuffer())
                    .toString();
            json = JSON.readTree(decoded);
        } catch (CharacterCodingException e) {
            throw new CheckpointException(FILE, "JSON", e, "is not UTF-8: %s", e.getMessage());
        } catch (JsonProcessingException e) {
            throw new CheckpointException(FILE, "JSON", e, "is not well-formed: %s", e.getMessage());
        }
        if (!json.isObject()) {
            throw new CheckpointException(FILE, "JSON", "holds %s, an object is expected", json.getNodeType());
        }
        return new HuggingFaceConfig(json);
    }

    ModelConfig read() {
        try {
            return config();
        } catch (CheckpointException e) {
            throw e;
        } catch (PenstockException e) {
            throw new CheckpointException(FILE, "configuration", e, "%s", e.getMessage());
        }
    }

    private Architecture architecture() {
        JsonNode names = json.path("architectures");
        if (names.size() != 1 || !names.path(0).isTextual()) {
            throw bad("architectures", "is %s, an array of one name is expected", shown(names));
        }
        // Text from outside: there is no enum of what is not read.
        Architecture named = switch (names.path(0).textValue()) {
            case "LlamaForCausalLM" -> Architecture.LLAMA;
            case "Qwen2ForCausalLM" -> Architecture.QWEN2;
            default ->
                throw bad("architectures", "is %s; LlamaForCausalLM and Qwen2ForCausalLM are read", shown(names));
        };
        String type = switch (named) {
            case LLAMA -> "llama";
            case QWEN2 -> "qwen2";
        };
        require("model_type", type, type);
        return named;
    }

    /// How matrices are stored, where not as plain numbers.
    QuantisationScheme quantisation() {
        return QuantisationScheme.of(json.path("quantization_config"));
    }

    private ModelConfig config() {
        refuseVariants();
        int hidden = integer("hidden_size");
        int heads = integer("num_attention_heads");
        if (!has("head_dim") && (heads < 1 || hidden % heads != 0)) {
            throw bad("num_attention_heads", "hidden_size %d does not divide over %d heads", hidden, heads);
        }
        RopeScaling scaling = scaling();
        int context = integer("max_position_embeddings");
        if (scaling instanceof RopeScaling.Yarn yarn) {
            context = Math.max(context, yarn.stretchedContextLength());
        }
        return new ModelConfig(
                architecture,
                integer("num_hidden_layers"),
                hidden,
                integer("intermediate_size"),
                heads,
                has("num_key_value_heads") ? integer("num_key_value_heads") : heads,
                has("head_dim") ? integer("head_dim") : hidden / heads,
                integer("vocab_size"),
                context,
                number(json, "rms_norm_eps").orElseThrow(() -> bad("rms_norm_eps", "is missing")),
                theta(),
                RopeLayout.HALVES,
                scaling,
                switch (architecture) {
                    case LLAMA -> flag("attention_bias");
                    case QWEN2 -> true;
                },
                flag("tie_word_embeddings"));
    }

    private void refuseVariants() {
        require("hidden_act", "silu", null);
        for (String key : List.of("mlp_bias", "use_sliding_window")) {
            if (flag(key)) {
                throw bad(key, "is true, which is not built");
            }
        }
        if (number(json, "partial_rotary_factor").orElse(1.0) != 1) {
            throw bad("partial_rotary_factor", "is %s, which is not built", shown(json.path("partial_rotary_factor")));
        }
        for (JsonNode type : json.path("layer_types")) {
            if (!type.asText().equals("full_attention")) {
                throw bad("layer_types", "names %s, full_attention is built", shown(type));
            }
        }
    }

    /// The settings of rotary embeddings: under `rope_parameters` since transformers 5, `rope_scaling`
    /// before.
    private JsonNode rope() {
        JsonNode older = json.path("rope_scaling");
        JsonNode newer = json.path("rope_parameters");
        for (JsonNode settings : List.of(older, newer)) {
            if (!settings.isMissingNode() && !settings.isNull() && !settings.isObject()) {
                throw bad("rope_scaling", "is %s, an object is expected", shown(settings));
            }
        }
        if (older.isObject() && newer.isObject() && !older.equals(newer)) {
            throw bad("rope_scaling", "and rope_parameters say different things");
        }
        return newer.isObject() ? newer : older;
    }

    private double theta() {
        Optional<Double> outer = number(json, "rope_theta");
        Optional<Double> inner = number(rope(), "rope_theta");
        if (outer.isPresent() && inner.isPresent() && !outer.equals(inner)) {
            throw bad("rope_theta", "is %s, and %s in rope_parameters", outer.get(), inner.get());
        }
        return outer.or(() -> inner).orElse(10_000.0);
    }

    private RopeScaling scaling() {
        JsonNode rope = rope();
        JsonNode type = rope.path("rope_type");
        JsonNode legacy = rope.path("type");
        if (type.isTextual() && legacy.isTextual() && !type.equals(legacy)) {
            throw bad("rope_scaling.rope_type", "is %s, and type %s", shown(type), shown(legacy));
        }
        String name = type.isTextual() ? type.textValue() : legacy.isTextual() ? legacy.textValue() : "default";
        if (name.equals("default") && rope.has("factor")) {
            throw bad("rope_scaling", "has a factor and no type: %s", shown(rope));
        }
        // Text from outside, as above.
        return switch (name) {
            case "default" -> new RopeScaling.None();
            case "linear" -> new RopeScaling.Linear(needed(rope, "factor"));
            case "llama3" ->
                new RopeScaling.Llama3(
                        needed(rope, "factor"),
                        needed(rope, "low_freq_factor"),
                        needed(rope, "high_freq_factor"),
                        integer(rope, "rope_scaling.", "original_max_position_embeddings"));
            case "yarn" -> yarn(rope);
            default ->
                throw bad("rope_scaling.rope_type", "is \"%s\"; default, linear, llama3 and yarn are read", name);
        };
    }

    private RopeScaling yarn(JsonNode rope) {
        if (!rope.path("truncate").asBoolean(true)) {
            throw bad("rope_scaling.truncate", "is false, which is not built");
        }
        double factor = needed(rope, "factor");
        Optional<Double> scale = number(rope, "mscale");
        Optional<Double> scaleAll = number(rope, "mscale_all_dim");
        double attention = RopeScaling.Yarn.defaultAttentionFactor(factor);
        if (scale.isPresent() && scaleAll.isPresent() && factor > 1) {
            attention = (1 + 0.1 * scale.get() * Math.log(factor)) / (1 + 0.1 * scaleAll.get() * Math.log(factor));
        }
        return new RopeScaling.Yarn(
                factor,
                number(rope, "attention_factor").orElse(attention),
                number(rope, "beta_fast").orElse(32.0),
                number(rope, "beta_slow").orElse(1.0),
                has(rope, "original_max_position_embeddings")
                        ? integer(rope, "rope_scaling.", "original_max_position_embeddings")
                        : integer("max_position_embeddings"));
    }

    private boolean has(String key) {
        return has(json, key);
    }

    // transformers writes null for "the default".
    private static boolean has(JsonNode node, String key) {
        return node.hasNonNull(key);
    }

    private int integer(String key) {
        return integer(json, "", key);
    }

    private int integer(JsonNode node, String path, String key) {
        JsonNode value = node.path(key);
        if (!value.isIntegralNumber() || !value.canConvertToInt()) {
            throw bad(path + key, "is %s, a whole number is expected", shown(value));
        }
        return value.intValue();
    }

    private double needed(JsonNode node, String key) {
        return number(node, key).orElseThrow(() -> bad("rope_scaling." + key, "is missing"));
    }

    private Optional<Double> number(JsonNode node, String key) {
        if (!has(node, key)) {
            return Optional.empty();
        }
        JsonNode value = node.path(key);
        if (!value.isNumber()) {
            throw bad(key, "is %s, a number is expected", shown(value));
        }
        return Optional.of(value.doubleValue());
    }

    private boolean flag(String key) {
        if (!has(json, key)) {
            return false;
        }
        JsonNode value = json.path(key);
        if (!value.isBoolean()) {
            throw bad(key, "is %s, true or false is expected", shown(value));
        }
        return value.booleanValue();
    }

    /// @param otherwise what a file without the key means; null if it must be there
    private void require(String key, String wanted, String otherwise) {
        JsonNode value = json.path(key);
        boolean matches = has(key) ? value.isTextual() && value.textValue().equals(wanted) : wanted.equals(otherwise);
        if (!matches) {
            throw bad(key, "is %s, \"%s\" is expected", shown(value), wanted);
        }
    }

    private static String shown(JsonNode value) {
        String text = value.isMissingNode() ? "missing" : value.toString();
        return text.length() <= 80 ? text : text.substring(0, 80) + "…";
    }

    @FormatMethod
    private static CheckpointException bad(String key, @FormatString String format, Object... arguments) {
        return new CheckpointException(FILE, key, format, arguments);
    }
}
