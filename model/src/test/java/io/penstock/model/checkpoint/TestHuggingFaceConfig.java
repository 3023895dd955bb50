package io.penstock.model.checkpoint;

import static org.assertj.core.api.Assertions.assertThat;
import static org.assertj.core.api.Assertions.assertThatThrownBy;
import static org.assertj.core.api.Assertions.within;

import io.penstock.model.config.Experts;
import io.penstock.model.config.LatentAttention;
import io.penstock.model.config.ModelConfig;
import io.penstock.model.config.ModelConfig.Architecture;
import io.penstock.model.config.ModelConfig.RopeLayout;
import io.penstock.model.config.RopeScaling;
import io.penstock.model.quant.WeightFormat;
import io.penstock.model.tensor.DType;
import io.penstock.model.tensor.TensorLayout;
import java.lang.foreign.MemorySegment;
import java.nio.charset.StandardCharsets;
import org.junit.jupiter.api.Test;
import org.junit.jupiter.params.ParameterizedTest;
import org.junit.jupiter.params.provider.CsvSource;
import org.junit.jupiter.params.provider.ValueSource;

class TestHuggingFaceConfig {
    private static final String QWEN = """
            {"architectures": ["Qwen2ForCausalLM"], "model_type": "qwen2", "attention_dropout": 0.0,
             "hidden_act": "silu", "hidden_size": 3584, "intermediate_size": 18944, "num_hidden_layers": 28,
             "num_attention_heads": 28, "num_key_value_heads": 4, "max_position_embeddings": 32768,
             "rms_norm_eps": 1e-06, "rope_theta": 1000000.0, "sliding_window": 131072, "use_sliding_window": false,
             "tie_word_embeddings": false, "vocab_size": 152064%s}
            """;
    private static final String LLAMA = """
            {"architectures": ["LlamaForCausalLM"], "model_type": "llama", "attention_bias": false, "mlp_bias": false,
             "hidden_act": "silu", "hidden_size": 4096, "intermediate_size": 14336, "num_hidden_layers": 32,
             "num_attention_heads": 32, "num_key_value_heads": 8, "max_position_embeddings": 131072,
             "rms_norm_eps": 1e-05, "rope_theta": 500000, "tie_word_embeddings": false, "vocab_size": 128256,
             "rope_scaling": {"factor": 8.0, "low_freq_factor": 1.0, "high_freq_factor": 4.0,
                              "original_max_position_embeddings": 8192, "rope_type": "llama3"}}
            """;

    private static ModelConfig read(String text) {
        return HuggingFaceConfig.read(MemorySegment.ofArray(text.getBytes(StandardCharsets.UTF_8)));
    }

    private static ModelConfig qwen(String more) {
        return read(QWEN.formatted(more));
    }

    @Test
    void readsQwen() {
        assertThat(qwen(""))
                .isEqualTo(new ModelConfig(
                        Architecture.QWEN2,
                        28,
                        3584,
                        18944,
                        28,
                        4,
                        128,
                        152064,
                        32768,
                        1e-6,
                        1e6,
                        RopeLayout.HALVES,
                        new RopeScaling.None(),
                        true,
                        false));
    }

    @Test
    void readsLlama() {
        ModelConfig config = read(LLAMA);
        assertThat(config.ropeScaling()).isEqualTo(new RopeScaling.Llama3(8, 1, 4, 8192));
        assertThat(config.attentionBias()).isFalse();
        assertThat(config.headSize()).isEqualTo(128);
        assertThat(config.contextLength()).isEqualTo(131072);
    }

    /// As DeepSeek-R1 is published.
    private static final String DEEPSEEK_R1 = """
            {"architectures": ["DeepseekV3ForCausalLM"], "model_type": "deepseek_v3", "attention_bias": false,
             "attention_dropout": 0.0, "bos_token_id": 0, "eos_token_id": 1, "ep_size": 1, "first_k_dense_replace": 3,
             "hidden_act": "silu", "hidden_size": 7168, "intermediate_size": 18432, "kv_lora_rank": 512,
             "max_position_embeddings": 163840, "moe_intermediate_size": 2048, "moe_layer_freq": 1, "n_group": 8,
             "n_routed_experts": 256, "n_shared_experts": 1, "norm_topk_prob": true, "num_attention_heads": 128,
             "num_experts_per_tok": 8, "num_hidden_layers": 61, "num_key_value_heads": 128,
             "num_nextn_predict_layers": 1, "q_lora_rank": 1536, "qk_nope_head_dim": 128, "qk_rope_head_dim": 64,
             "quantization_config": {"activation_scheme": "dynamic", "fmt": "e4m3", "quant_method": "fp8",
                                     "weight_block_size": [128, 128]},
             "rms_norm_eps": 1e-06, "rope_scaling": {"beta_fast": 32, "beta_slow": 1, "factor": 40, "mscale": 1.0,
                 "mscale_all_dim": 1.0, "original_max_position_embeddings": 4096, "type": "yarn"},
             "rope_theta": 10000, "routed_scaling_factor": 2.5, "scoring_func": "sigmoid", "tie_word_embeddings": false,
             "topk_group": 4, "topk_method": "noaux_tc", "torch_dtype": "bfloat16", "use_cache": true,
             "v_head_dim": 128, "vocab_size": 129280}
            """;

    @Test
    void readsDeepSeekR1() {
        ModelConfig config = read(DEEPSEEK_R1);
        double temperature = 0.1 * Math.log(40) + 1;
        assertThat(config.latent()).contains(new LatentAttention(1536, 512, 128, 64, 128, temperature * temperature));
        assertThat(config.experts())
                .contains(new Experts(256, 8, 2048, 2048, 3, Experts.Routing.BIASED_SIGMOID, true, 2.5, 8, 4));
        assertThat(config.ropeScaling()).isEqualTo(new RopeScaling.Yarn(40, 1, 32, 1, 4096));
        assertThat(config.ropeLayout()).isEqualTo(RopeLayout.INTERLEAVED);
        assertThat(config.headSize()).isEqualTo(192);
        assertThat(config.cachedSize()).isEqualTo(576);
        assertThat(config.contextLength()).isEqualTo(163840);
        // Without scales: 671 billion weights, as its authors count them, without the layer that guesses ahead.
        long weights = TensorLayout.of(config).stream()
                .mapToLong(tensor -> tensor.shape().elementCount())
                .sum();
        assertThat(weights).isEqualTo(671_026_419_200L);
        HuggingFaceConfig settings =
                HuggingFaceConfig.parse(MemorySegment.ofArray(DEEPSEEK_R1.getBytes(StandardCharsets.UTF_8)));
        assertThat(settings.guessingLayers()).isEqualTo(1);
        assertThat(settings.quantisation().format()).contains(new WeightFormat.Scaled(DType.F8_E4M3, 128, 128, 1));
    }

    @ParameterizedTest
    @CsvSource(
            delimiter = '|',
            quoteCharacter = '~',
            value = {
                "\"n_group\": 8|\"n_group\": 7|256 experts in 7 groups",
                "\"topk_group\": 4|\"topk_group\": 9|groups a token looks at is 9",
                "\"num_experts_per_tok\": 8|\"num_experts_per_tok\": 300|experts a token uses is 300",
                "\"noaux_tc\"|\"greedy\"|topk_method",
                "\"sigmoid\"|\"softmax\"|scoring_func",
                "\"moe_layer_freq\": 1|\"moe_layer_freq\": 2|moe_layer_freq",
                "\"num_key_value_heads\": 128|\"num_key_value_heads\": 64|heads of size 192, 64 for keys",
                "\"qk_rope_head_dim\": 64|\"qk_rope_head_dim\": 63|rotary part of a head, 63, is odd",
                "\"kv_lora_rank\": 512|\"kv_lora_rank\": 0|key rank is 0",
            })
    void refusesExpertsAndCompressionThatCannotBe(String replaced, String by, String message) {
        assertThat(DEEPSEEK_R1).contains(replaced);
        assertThatThrownBy(() -> read(DEEPSEEK_R1.replace(replaced, by)))
                .isInstanceOf(CheckpointException.class)
                .hasMessageStartingWith("config.json: ")
                .hasMessageContaining(message);
    }

    @Test
    void readsYarnAndStretchesTheContext() {
        ModelConfig config = qwen("""
                , "rope_scaling": {"type": "yarn", "factor": 4.0, "original_max_position_embeddings": 32768}""");
        assertThat(config.ropeScaling()).isInstanceOfSatisfying(RopeScaling.Yarn.class, yarn -> {
            // transformers: 0.1 ln 4 + 1
            assertThat(yarn.attentionFactor()).isCloseTo(1.138629436111989, within(1e-15));
            assertThat(yarn.betaFast()).isEqualTo(32);
        });
        assertThat(config.contextLength()).isEqualTo(131072);
    }

    @Test
    void readsDynamicScalingAndStretchesTheContext() {
        ModelConfig config = qwen("""
                , "rope_scaling": {"type": "dynamic", "factor": 4.0}""");
        assertThat(config.ropeScaling()).isEqualTo(new RopeScaling.Dynamic(4, 32768));
        assertThat(config.contextLength()).isEqualTo(131072);
    }

    @Test
    void readsTheNewerRopeParameters() {
        ModelConfig config = qwen("""
                , "rope_parameters": {"rope_type": "linear", "factor": 2, "rope_theta": 1000000.0}""");
        assertThat(config.ropeScaling()).isEqualTo(new RopeScaling.Linear(2));
        assertThat(config.ropeTheta()).isEqualTo(1e6);
    }

    @ParameterizedTest
    @CsvSource(
            delimiter = '|',
            quoteCharacter = '~',
            value = {
                "\"hidden_size\": 3584|\"hidden_size\": 3585|num_attention_heads: hidden_size 3585 does not divide",
                "\"hidden_size\": 3584|\"hidden_size\": -3584|configuration: hidden size is -3584",
                "\"hidden_size\": 3584|\"hidden_size\": 3584.0|hidden_size: is 3584.0",
                "\"hidden_size\": 3584|\"hidden_size\": 99999999999|hidden_size: is 99999999999",
                "\"hidden_size\": 3584|\"hidden_size\": \"3584\"|hidden_size: is \"3584\"",
                "\"hidden_size\": 3584|\"hidden_size\": null|hidden_size: is null",
                "\"hidden_size\": 3584|\"other\": 1|hidden_size: is missing",
                "\"hidden_size\": 3584|\"vocab_size\": 1|Duplicate field 'vocab_size'",
                "\"num_key_value_heads\": 4|\"num_key_value_heads\": 5|28 attention heads do not divide over 5",
                "\"num_attention_heads\": 28|\"num_attention_heads\": 0|num_attention_heads",
                "Qwen2ForCausalLM|Qwen2MoeForCausalLM|architectures: is [\"Qwen2MoeForCausalLM\"]",
                "Qwen2ForCausalLM|LlamaForCausalLM|model_type: is \"qwen2\", \"llama\" is expected",
                "\"silu\"|\"gelu\"|hidden_act: is \"gelu\"",
                "\"use_sliding_window\": false|\"use_sliding_window\": true|use_sliding_window: is true",
                "1e-06|\"x\"|rms_norm_eps: is \"x\"",
                "1e-06|0|RMS norm epsilon 0.0",
                "1000000.0|-1|rotary base -1.0",
                "152064|152064, \"partial_rotary_factor\": 0.5|partial_rotary_factor: is 0.5",
                "152064|152064, \"rope_scaling\": {\"factor\": 2}|has a factor and no type",
                "152064|152064, \"rope_scaling\": {\"type\": \"ntk\", \"factor\": 2}|is \"ntk\"",
                "152064|152064, \"rope_scaling\": {\"type\": \"longrope\", \"factor\": 2}|0 short longrope divisors",
                "152064|152064, \"rope_scaling\": {\"type\": \"longrope\", \"short_factor\": [1, 2], \"long_factor\": [3, 4]}"
                        + "|2 longrope divisors for heads of 64 pairs",
                "152064|152064, \"rope_scaling\": {\"type\": \"yarn\", \"rope_type\": \"linear\"}|is \"linear\", and type \"yarn\"",
                "152064|152064, \"rope_scaling\": {\"type\": \"linear\"}|rope_scaling.factor: is missing",
                "152064|152064, \"rope_scaling\": {\"type\": \"dynamic\"}|rope_scaling.factor: is missing",
                "152064|152064, \"rope_scaling\": {\"type\": \"dynamic\", \"factor\": 0.5}|dynamic factor is 0.5",
                "152064|152064, \"rope_scaling\": 3|is 3, an object is expected",
                "152064|152064, \"rope_parameters\": {\"rope_theta\": 5.0}|rope_theta: is 1000000.0, and 5.0",
            })
    void refusesContradictions(String replaced, String by, String message) {
        String text = QWEN.formatted("");
        assertThat(text).contains(replaced);
        assertThatThrownBy(() -> read(text.replace(replaced, by)))
                .isInstanceOf(CheckpointException.class)
                .hasMessageStartingWith("config.json: ")
                .hasMessageContaining(message);
    }

    @ParameterizedTest
    @ValueSource(strings = {"", "[]", "null", "{", "{} {}", "\uFEFF{}", "{\"a\": NaN}", "{\"a\": 1e999999999}"})
    void refusesWhatIsNoConfiguration(String text) {
        assertThatThrownBy(() -> read(text))
                .isInstanceOf(CheckpointException.class)
                .hasMessageStartingWith("config.json: ");
    }

    @Test
    void refusesDepth() {
        assertThatThrownBy(() -> read("{\"a\":" + "[".repeat(100_000)))
                .isInstanceOf(CheckpointException.class)
                .hasMessageContaining("nesting depth");
    }
}
