package io.penstock.shard.backend.cpu;

import static org.assertj.core.api.Assertions.assertThat;
import static org.assertj.core.api.Assertions.within;

import com.fasterxml.jackson.databind.JsonNode;
import com.fasterxml.jackson.databind.ObjectMapper;
import io.penstock.model.checkpoint.GgufCheckpoint;
import io.penstock.model.checkpoint.MappedTensors;
import io.penstock.model.quant.Decoder;
import io.penstock.model.quant.MatrixDecoder;
import io.penstock.model.template.ChatFormat;
import io.penstock.model.tensor.RankSlice;
import io.penstock.model.tensor.TensorLayout;
import io.penstock.model.tokenizer.PromptText;
import io.penstock.shard.backend.StepLimits;
import io.penstock.shard.collective.LocalCollective;
import java.io.IOException;
import java.io.InputStream;
import java.util.ArrayList;
import java.util.HashMap;
import java.util.List;
import java.util.Map;
import org.junit.jupiter.api.BeforeAll;
import org.junit.jupiter.api.Test;

/// A GGUF file is what transformers reads in it: tokenizer, template, weights, and what follows of them.
/// `tools/references/smollm2_reference.py` asked transformers.
class TestTransformersGguf {
    private static final ObjectMapper JSON = new ObjectMapper();
    private static final RealModel MODEL = RealModel.open();

    private static JsonNode reference;
    private static ChatFormat format;

    @BeforeAll
    static void read() throws IOException {
        try (InputStream bytes = TestTransformersGguf.class.getResourceAsStream("smollm2-transformers.json")) {
            reference = JSON.readTree(bytes);
        }
        format = ChatFormat.of(((GgufCheckpoint) MODEL.checkpoint()).metadata());
    }

    @Test
    void tokenizerGivesTheSameIds() throws IOException {
        for (JsonNode text : reference.path("texts")) {
            assertThat(format.tokenizer().encode(PromptText.trusted(text.path(0).textValue())))
                    .as("%s", text.path(0))
                    .isEqualTo(JSON.treeToValue(text.path(1), int[].class));
        }
        assertThat(reference.path("texts")).hasSizeGreaterThan(40);
        assertThat(format.tokens())
                .isEqualTo(Map.of(
                        "bos_token", reference.path("begin").textValue(),
                        "eos_token", reference.path("end").textValue()));
    }

    @Test
    void templateRendersTheSameChat() {
        Map<String, Object> variables = new HashMap<>(format.tokens());
        variables.put("messages", JSON.convertValue(reference.path("chat"), List.class));
        variables.put("add_generation_prompt", true);
        assertThat(format.template().orElseThrow().render(variables).text())
                .isEqualTo(reference.path("rendered").textValue());
    }

    @Test
    void everyTensorHasTheSameWeights() {
        List<TensorLayout> layouts = TensorLayout.of(MODEL.checkpoint().config());
        // In the order of a forward pass in both.
        assertThat(layouts).hasSameSizeAs(reference.path("tensors"));
        Map<String, JsonNode> left = new HashMap<>();
        reference.path("tensors").properties().forEach(tensor -> left.put(tensor.getKey(), tensor.getValue()));
        try (MappedTensors tensors = new MappedTensors(MODEL.checkpoint(), MODEL.files())) {
            for (TensorLayout layout : layouts) {
                JsonNode sums = left.remove(spelling(layout.name()));
                assertThat(sums).as(layout.name()).isNotNull();
                assertSums(tensors, layout, sums);
            }
        }
        assertThat(left).isEmpty();
    }

    private static String spelling(String name) {
        return "model."
                + name.replace("embedding", "embed_tokens")
                        .replace("output.norm", "norm")
                        .replace("attention.norm", "input_layernorm")
                        .replace("mlp.norm", "post_attention_layernorm")
                        .replace("attention.output", "self_attn.o_proj")
                        .replaceFirst("attention\\.([qkv])$", "self_attn.$1_proj")
                        .replaceFirst("mlp\\.(gate|up|down)$", "mlp.$1_proj")
                + ".weight";
    }

    private static void assertSums(MappedTensors tensors, TensorLayout layout, JsonNode sums) {
        String name = layout.name();
        double[] own = new double[2];
        if (layout.shape().rank() == 1) {
            float[] vector = new float[Math.toIntExact(layout.shape().extent(0))];
            Decoder.of(MODEL.checkpoint().tensors().get(name).dtype())
                    .decode(tensors.whole(name), 0, vector, 0, vector.length);
            add(vector, own);
        } else {
            MatrixDecoder decoder = tensors.decoder(name);
            float[] row = new float[Math.toIntExact(layout.shape().extent(1))];
            for (int number = 0; number < layout.shape().extent(0); number++) {
                decoder.decode(number, 0, row.length, row, 0);
                add(row, own);
            }
        }
        for (int kind = 0; kind < own.length; kind++) {
            double expected = sums.path(kind).doubleValue();
            assertThat(own[kind]).as(name).isCloseTo(expected, within(expected * 1e-8));
        }
    }

    /// @param sums of the sizes, and of the squares
    private static void add(float[] values, double[] sums) {
        for (float value : values) {
            sums[0] += Math.abs(value);
            sums[1] += (double) value * value;
        }
    }

    @Test
    void theSameTokensFollow() throws IOException {
        StepLimits limits = new StepLimits(16, 2, 128, 128);
        try (CpuBackend backend = new CpuBackend(new CpuOptions(2, 1L << 28))) {
            backend.load(
                    MODEL.checkpoint(), RankSlice.of(MODEL.checkpoint().config(), 0, 1, 0, 1), MODEL.files(), b -> {});
            for (JsonNode generation : reference.path("generations")) {
                backend.configure(limits, new LocalCollective());
                List<Integer> expected = new ArrayList<>();
                List<Float> logprobs = new ArrayList<>();
                generation.path("steps").forEach(step -> {
                    expected.add(step.path(0).intValue());
                    logprobs.add(step.path(1).floatValue());
                });
                StepDriver.Generation own = new StepDriver(backend, limits)
                        .generate(0, JSON.treeToValue(generation.path("prompt"), int[].class), 128, expected.size());
                // The two best are never closer than 0.02 here.
                assertThat(own.generated()).isEqualTo(expected);
                for (int step = 0; step < expected.size(); step++) {
                    assertThat(own.logprobs().get(step))
                            .as("token %d", step)
                            .isCloseTo(logprobs.get(step), within(1e-3f));
                }
            }
        }
    }
}
