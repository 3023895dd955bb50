package io.penstock.model.checkpoint;

import io.penstock.model.config.ModelConfig;
import io.penstock.model.tensor.ExpertTensor;
import io.penstock.model.tensor.LayerTensor;
import io.penstock.model.tensor.TensorNames;
import java.util.EnumMap;
import java.util.HashMap;
import java.util.Locale;
import java.util.Map;
import java.util.Optional;
import java.util.OptionalInt;
import java.util.Set;
import java.util.regex.Matcher;
import java.util.regex.Pattern;

/// How a file format spells the names of [TensorNames].
final class NameScheme {
    static final NameScheme GGUF = new NameScheme(
            "blk.",
            Map.of(
                    TensorNames.EMBEDDING, "token_embd.weight",
                    TensorNames.OUTPUT_NORM, "output_norm.weight",
                    TensorNames.OUTPUT, "output.weight",
                    TensorNames.ROPE_DIVISORS, "rope_freqs.weight"),
            Map.ofEntries(
                    Map.entry(LayerTensor.ATTENTION_NORM, "attn_norm.weight"),
                    Map.entry(LayerTensor.QUERY, "attn_q.weight"),
                    Map.entry(LayerTensor.KEY, "attn_k.weight"),
                    Map.entry(LayerTensor.VALUE, "attn_v.weight"),
                    Map.entry(LayerTensor.QUERY_BIAS, "attn_q.bias"),
                    Map.entry(LayerTensor.KEY_BIAS, "attn_k.bias"),
                    Map.entry(LayerTensor.VALUE_BIAS, "attn_v.bias"),
                    Map.entry(LayerTensor.QUERY_NORM, "attn_q_norm.weight"),
                    Map.entry(LayerTensor.KEY_NORM, "attn_k_norm.weight"),
                    Map.entry(LayerTensor.ATTENTION_OUTPUT, "attn_output.weight"),
                    Map.entry(LayerTensor.MLP_NORM, "ffn_norm.weight"),
                    Map.entry(LayerTensor.GATE, "ffn_gate.weight"),
                    Map.entry(LayerTensor.UP, "ffn_up.weight"),
                    Map.entry(LayerTensor.DOWN, "ffn_down.weight"),
                    Map.entry(LayerTensor.ROUTER, "ffn_gate_inp.weight")),
            Set.of("attn_rot_embd.weight"),
            // Of one expert; the file has all in one tensor.
            "ffn_%2$s_exps.%1$s.weight");
    private static final NameScheme GGUF_LATENT = GGUF.with(Map.ofEntries(
            Map.entry(LayerTensor.QUERY_DOWN, "attn_q_a.weight"),
            Map.entry(LayerTensor.QUERY_DOWN_NORM, "attn_q_a_norm.weight"),
            Map.entry(LayerTensor.KV_DOWN, "attn_kv_a_mqa.weight"),
            Map.entry(LayerTensor.KV_DOWN_NORM, "attn_kv_a_norm.weight"),
            Map.entry(LayerTensor.KV_UP, "attn_kv_b.weight"),
            Map.entry(LayerTensor.KEY_UP, "attn_k_b.weight"),
            Map.entry(LayerTensor.VALUE_UP, "attn_v_b.weight"),
            Map.entry(LayerTensor.ROUTER_BIAS, "exp_probs_b.bias"),
            Map.entry(LayerTensor.SHARED_GATE, "ffn_gate_shexp.weight"),
            Map.entry(LayerTensor.SHARED_UP, "ffn_up_shexp.weight"),
            Map.entry(LayerTensor.SHARED_DOWN, "ffn_down_shexp.weight")));
    private static final NameScheme GGUF_LATENT_COMPRESSED_QUERIES =
            GGUF_LATENT.with(Map.of(LayerTensor.QUERY, "attn_q_b.weight"));
    static final NameScheme HUGGING_FACE = new NameScheme(
            "model.layers.",
            Map.of(
                    TensorNames.EMBEDDING, "model.embed_tokens.weight",
                    TensorNames.OUTPUT_NORM, "model.norm.weight",
                    TensorNames.OUTPUT, "lm_head.weight"),
            Map.ofEntries(
                    Map.entry(LayerTensor.ATTENTION_NORM, "input_layernorm.weight"),
                    Map.entry(LayerTensor.QUERY, "self_attn.q_proj.weight"),
                    Map.entry(LayerTensor.KEY, "self_attn.k_proj.weight"),
                    Map.entry(LayerTensor.VALUE, "self_attn.v_proj.weight"),
                    Map.entry(LayerTensor.QUERY_BIAS, "self_attn.q_proj.bias"),
                    Map.entry(LayerTensor.KEY_BIAS, "self_attn.k_proj.bias"),
                    Map.entry(LayerTensor.VALUE_BIAS, "self_attn.v_proj.bias"),
                    Map.entry(LayerTensor.QUERY_NORM, "self_attn.q_norm.weight"),
                    Map.entry(LayerTensor.KEY_NORM, "self_attn.k_norm.weight"),
                    Map.entry(LayerTensor.ATTENTION_OUTPUT, "self_attn.o_proj.weight"),
                    Map.entry(LayerTensor.MLP_NORM, "post_attention_layernorm.weight"),
                    Map.entry(LayerTensor.GATE, "mlp.gate_proj.weight"),
                    Map.entry(LayerTensor.UP, "mlp.up_proj.weight"),
                    Map.entry(LayerTensor.DOWN, "mlp.down_proj.weight"),
                    Map.entry(LayerTensor.ROUTER, "mlp.gate.weight")),
            Set.of("self_attn.rotary_emb.inv_freq"),
            "mlp.experts.%1$s.%2$s_proj.weight");
    /// Of the DeepSeek models, whose last query projection has two names.
    static final NameScheme DEEPSEEK = HUGGING_FACE.with(Map.ofEntries(
            Map.entry(LayerTensor.QUERY_DOWN, "self_attn.q_a_proj.weight"),
            Map.entry(LayerTensor.QUERY_DOWN_NORM, "self_attn.q_a_layernorm.weight"),
            Map.entry(LayerTensor.KV_DOWN, "self_attn.kv_a_proj_with_mqa.weight"),
            Map.entry(LayerTensor.KV_DOWN_NORM, "self_attn.kv_a_layernorm.weight"),
            Map.entry(LayerTensor.KV_UP, "self_attn.kv_b_proj.weight"),
            Map.entry(LayerTensor.ROUTER_BIAS, "mlp.gate.e_score_correction_bias"),
            Map.entry(LayerTensor.SHARED_GATE, "mlp.shared_experts.gate_proj.weight"),
            Map.entry(LayerTensor.SHARED_UP, "mlp.shared_experts.up_proj.weight"),
            Map.entry(LayerTensor.SHARED_DOWN, "mlp.shared_experts.down_proj.weight")));
    /// Where queries are made of a compressed vector.
    static final NameScheme DEEPSEEK_COMPRESSED_QUERIES =
            DEEPSEEK.with(Map.of(LayerTensor.QUERY, "self_attn.q_b_proj.weight"));

    private static final Pattern CANONICAL_EXPERT = Pattern.compile("experts\\.([0-9]+)\\.(gate|up|down)");

    private final String layerPrefix;
    private final Pattern layerPattern;
    private final Map<String, String> spelled;
    private final Map<LayerTensor, String> spelledInLayer;
    private final Map<String, String> canonical = new HashMap<>();
    private final Map<String, LayerTensor> canonicalInLayer = new HashMap<>();
    private final Set<String> harmless;
    /// A format of the expert's number and the tensor's name.
    private final String expertSpelling;

    private final Pattern expertPattern;

    /// @param harmless tensors of a layer that old files have and that follow from the configuration
    private NameScheme(
            String layerPrefix,
            Map<String, String> spelled,
            Map<LayerTensor, String> spelledInLayer,
            Set<String> harmless,
            String expertSpelling) {
        this.layerPrefix = layerPrefix;
        // No leading zeros, so that no two spellings mean one tensor.
        this.layerPattern = Pattern.compile(Pattern.quote(layerPrefix) + "(0|[1-9][0-9]{0,3})\\.(.+)");
        this.spelled = spelled;
        this.spelledInLayer = spelledInLayer;
        this.harmless = harmless;
        this.expertSpelling = expertSpelling;
        this.expertPattern = Pattern.compile(expertSpelling
                .replace(".", "\\.")
                .replace("%1$s", "(?<number>0|[1-9][0-9]{0,4})")
                .replace("%2$s", "(?<tensor>gate|up|down)"));
        spelled.forEach((name, spelling) -> canonical.put(spelling, name));
        spelledInLayer.forEach((name, spelling) -> canonicalInLayer.put(spelling, name));
    }

    /// @return the same scheme with more spellings, or others
    private NameScheme with(Map<LayerTensor, String> more) {
        Map<LayerTensor, String> all = new EnumMap<>(spelledInLayer);
        all.putAll(more);
        return new NameScheme(layerPrefix, spelled, all, harmless, expertSpelling);
    }

    /// Of the Hugging Face folder of a model.
    static NameScheme of(ModelConfig config) {
        return switch (config.architecture()) {
            case LLAMA, QWEN2, QWEN3, QWEN3_MOE -> HUGGING_FACE;
            case DEEPSEEK_V2, DEEPSEEK_V3 ->
                config.latent().orElseThrow().queryRank() > 0 ? DEEPSEEK_COMPRESSED_QUERIES : DEEPSEEK;
        };
    }

    /// Of the GGUF file of a model.
    static NameScheme ofGguf(ModelConfig config) {
        return config.latent()
                .map(latent -> latent.queryRank() > 0 ? GGUF_LATENT_COMPRESSED_QUERIES : GGUF_LATENT)
                .orElse(GGUF);
    }

    /// @return the layer that a tensor belongs to, or empty if it is of none
    OptionalInt layer(String spelling) {
        Matcher matcher = layerPattern.matcher(spelling);
        return matcher.matches() ? OptionalInt.of(Integer.parseInt(matcher.group(1))) : OptionalInt.empty();
    }

    /// @return the canonical name, or empty if this format knows no such tensor
    Optional<String> canonical(String spelling) {
        Matcher matcher = layerPattern.matcher(spelling);
        if (!matcher.matches()) {
            return Optional.ofNullable(canonical.get(spelling));
        }
        int layer = Integer.parseInt(matcher.group(1));
        Matcher expert = expertPattern.matcher(matcher.group(2));
        if (expert.matches()) {
            ExpertTensor tensor = ExpertTensor.valueOf(expert.group("tensor").toUpperCase(Locale.ROOT));
            return Optional.of(TensorNames.expert(layer, Integer.parseInt(expert.group("number")), tensor));
        }
        return Optional.ofNullable(canonicalInLayer.get(matcher.group(2)))
                .map(tensor -> TensorNames.layer(layer, tensor));
    }

    /// Whether a tensor may be ignored: it holds nothing that the configuration does not say.
    boolean isHarmless(String spelling) {
        Matcher matcher = layerPattern.matcher(spelling);
        return matcher.matches() && harmless.contains(matcher.group(2));
    }

    String spell(int layer, LayerTensor tensor) {
        return layerPrefix + layer + "." + spelledInLayer.get(tensor);
    }

    /// @param name canonical
    /// @return this format's name for it, or the canonical one if it has none
    String spell(String name) {
        if (name.startsWith("layers.")) {
            int dot = name.indexOf('.', "layers.".length());
            String rest = name.substring(dot + 1);
            Matcher expert = CANONICAL_EXPERT.matcher(rest);
            if (expert.matches()) {
                return layerPrefix + name.substring("layers.".length(), dot) + "."
                        + expertSpelling.formatted(expert.group(1), expert.group(2));
            }
            for (LayerTensor tensor : LayerTensor.values()) {
                if (tensor.spelling().equals(rest)) {
                    return spell(Integer.parseInt(name, "layers.".length(), dot, 10), tensor);
                }
            }
        }
        return spelled.getOrDefault(name, name);
    }
}
