package io.penstock.loader.transfer;

import static org.assertj.core.api.Assertions.assertThat;

import io.penstock.loader.source.FileName;
import io.penstock.loader.source.RemoteFile;
import io.penstock.loader.source.Snapshot;
import io.penstock.model.checkpoint.Checkpoint;
import io.penstock.model.checkpoint.Checkpoints;
import io.penstock.model.checkpoint.Extent;
import io.penstock.model.checkpoint.FileExtents;
import io.penstock.model.tensor.RankSlice;
import java.io.IOException;
import java.nio.ByteBuffer;
import java.nio.ByteOrder;
import java.nio.charset.StandardCharsets;
import java.nio.file.Files;
import java.nio.file.Path;
import java.util.ArrayList;
import java.util.Arrays;
import java.util.BitSet;
import java.util.LinkedHashMap;
import java.util.List;
import java.util.Map;
import java.util.Random;
import java.util.regex.Matcher;
import java.util.regex.Pattern;
import org.junit.jupiter.api.Timeout;
import org.junit.jupiter.api.io.TempDir;
import org.junit.jupiter.params.ParameterizedTest;
import org.junit.jupiter.params.provider.ValueSource;

/// A node fetches what its ranks need, once, and hardly more: two nodes share a model of 70B by fetching
/// half each.
///
/// Tensor parallel over 4 ranks of a node, the stages of the pipeline on two nodes; rows, columns and whole
/// tensors, matrices one by one or on top of one another.
@Timeout(value = 60, threadMode = Timeout.ThreadMode.SEPARATE_THREAD)
class TestSlicesOfANode {
    private static final int HIDDEN = 512;
    private static final int LAYERS = 6;
    private static final int HEADS = 8;
    private static final int KV_HEADS = 4;
    private static final int HEAD = 64;
    private static final int MLP = 1536;
    private static final int VOCABULARY = 1000;
    private static final Pattern LAYER = Pattern.compile("\\.layers\\.([0-9]+)\\.");
    private static final int TP = 4;
    private static final int PP = 2;

    @TempDir
    Path folder;

    @ParameterizedTest(name = "fused: {0}")
    @ValueSource(booleans = {false, true})
    void fetchesTheUnionOfItsRanksAndEachSliceIsThatOfTheWholeFile(boolean fused) throws Exception {
        Map<String, int[]> tensors = tensors(fused);
        Path local = writeCheckpoint(folder.resolve("local"), tensors, fused);
        Checkpoint checkpoint = Checkpoints.open(local);
        byte[] whole = Files.readAllBytes(local.resolve("model.safetensors"));
        for (int stage = 0; stage < PP; stage++) {
            try (Fixture fixture = new Fixture(Files.createDirectories(folder.resolve("node" + stage)), 1)) {
                fixture.emulator.putFile("models", "m/model.safetensors", local.resolve("model.safetensors"));
                Snapshot snapshot = fixture.resolve();
                fixture.emulator.traffic().clear();
                BitSet needed = new BitSet();
                List<Fixture.Heard> heard = new ArrayList<>();
                for (int rank = 0; rank < TP; rank++) {
                    List<ByteRange> ranges = ranges(checkpoint, rank, stage, FileExtents.DEFAULT_GAP);
                    // What is really needed is counted without the gaps that a request saves.
                    ranges(checkpoint, rank, stage, 0)
                            .forEach(range -> needed.set((int) range.offset(), (int) range.end()));
                    for (ByteRange slice : slicesByHand(tensors, rank, stage)) {
                        assertThat(ranges)
                                .as("%s of rank %d, stage %d", slice, rank, stage)
                                .anyMatch(range -> range.offset() <= slice.offset() && slice.end() <= range.end());
                    }
                    heard.add(ask(fixture, snapshot, ranges));
                }
                for (Fixture.Heard one : heard) {
                    one.end.get();
                    byte[] there = Files.readAllBytes(one.wish.path(false));
                    for (ByteRange range : one.wish.ranges()) {
                        assertThat(Arrays.equals(
                                        there,
                                        (int) range.offset(),
                                        (int) range.end(),
                                        whole,
                                        (int) range.offset(),
                                        (int) range.end()))
                                .isTrue();
                    }
                }
                double ratio = fixture.emulator.traffic().bytes() / (double) needed.cardinality();
                assertThat(ratio).isBetween(1.0, 1.05);
                assertThat(needed.cardinality()).isLessThan(whole.length * 6 / 10);
            }
        }
    }

    private static List<ByteRange> ranges(Checkpoint checkpoint, int rank, int stage, long gap) {
        RankSlice slice = RankSlice.of(checkpoint.config(), rank, TP, stage, PP);
        List<ByteRange> ranges = new ArrayList<>();
        for (FileExtents file : FileExtents.of(checkpoint, slice, gap)) {
            for (Extent extent : file.extents()) {
                ranges.add(new ByteRange(extent.offset(), extent.length()));
            }
        }
        return ranges;
    }

    private static Fixture.Heard ask(Fixture fixture, Snapshot snapshot, List<ByteRange> ranges) {
        RemoteFile file = snapshot.file(new FileName("model.safetensors"));
        FileWish wish =
                fixture.parts().transfers().wish(snapshot, file, fixture.parts().source(), ranges);
        Fixture.Heard heard = new Fixture.Heard(wish);
        wish.ask(heard);
        return heard;
    }

    /// Some rows that a rank must have, worked out from the names and shapes alone.
    private static List<ByteRange> slicesByHand(Map<String, int[]> tensors, int rank, int stage) {
        List<ByteRange> slices = new ArrayList<>();
        long at = headLength(tensors);
        for (Map.Entry<String, int[]> tensor : tensors.entrySet()) {
            long row = tensor.getValue().length == 1 ? 2 : 2L * tensor.getValue()[1];
            String name = tensor.getKey();
            Matcher inLayer = LAYER.matcher(name);
            int layer = inLayer.find() ? Integer.parseInt(inLayer.group(1)) : -1;
            if (layer >= 0 && layer / (LAYERS / PP) == stage) {
                // Each matrix of the tensor, one after the other: where its rows begin, and how many they are.
                int[][] matrices = name.contains("qkv_proj")
                        ? new int[][] {
                            {0, HEADS * HEAD},
                            {HEADS * HEAD, KV_HEADS * HEAD},
                            {(HEADS + KV_HEADS) * HEAD, KV_HEADS * HEAD}
                        }
                        : name.contains("gate_up_proj")
                                ? new int[][] {{0, MLP}, {MLP, MLP}}
                                : name.matches(".*(q|k|v|gate|up)_proj.*")
                                        ? new int[][] {{0, tensor.getValue()[0]}}
                                        : new int[0][];
                for (int[] matrix : matrices) {
                    long share = matrix[1] / TP;
                    slices.add(new ByteRange(at + (matrix[0] + rank * share) * row, share * row));
                }
                if (name.matches(".*(o|down)_proj.*")) {
                    // Of every row some columns.
                    for (int line = 0; line < tensor.getValue()[0]; line++) {
                        slices.add(new ByteRange(at + line * row + rank * row / TP, row / TP));
                    }
                }
            }
            at += bytes(tensor.getValue());
        }
        return slices;
    }

    private static int bytes(int[] shape) {
        return 2 * Arrays.stream(shape).reduce(1, (a, b) -> a * b);
    }

    private static long headLength(Map<String, int[]> tensors) {
        return (long) Long.BYTES + header(tensors).getBytes(StandardCharsets.UTF_8).length;
    }

    private static Map<String, int[]> tensors(boolean fused) {
        Map<String, int[]> tensors = new LinkedHashMap<>();
        tensors.put("model.embed_tokens.weight", new int[] {VOCABULARY, HIDDEN});
        for (int layer = 0; layer < LAYERS; layer++) {
            String at = "model.layers." + layer + ".";
            tensors.put(at + "input_layernorm.weight", new int[] {HIDDEN});
            if (fused) {
                tensors.put(at + "self_attn.qkv_proj.weight", new int[] {(HEADS + 2 * KV_HEADS) * HEAD, HIDDEN});
            } else {
                tensors.put(at + "self_attn.q_proj.weight", new int[] {HEADS * HEAD, HIDDEN});
                tensors.put(at + "self_attn.k_proj.weight", new int[] {KV_HEADS * HEAD, HIDDEN});
                tensors.put(at + "self_attn.v_proj.weight", new int[] {KV_HEADS * HEAD, HIDDEN});
            }
            tensors.put(at + "self_attn.o_proj.weight", new int[] {HIDDEN, HEADS * HEAD});
            tensors.put(at + "post_attention_layernorm.weight", new int[] {HIDDEN});
            if (fused) {
                tensors.put(at + "mlp.gate_up_proj.weight", new int[] {2 * MLP, HIDDEN});
            } else {
                tensors.put(at + "mlp.gate_proj.weight", new int[] {MLP, HIDDEN});
                tensors.put(at + "mlp.up_proj.weight", new int[] {MLP, HIDDEN});
            }
            tensors.put(at + "mlp.down_proj.weight", new int[] {HIDDEN, MLP});
        }
        tensors.put("model.norm.weight", new int[] {HIDDEN});
        tensors.put("lm_head.weight", new int[] {VOCABULARY, HIDDEN});
        return tensors;
    }

    private static String header(Map<String, int[]> tensors) {
        StringBuilder header = new StringBuilder("{");
        int at = 0;
        for (Map.Entry<String, int[]> tensor : tensors.entrySet()) {
            int bytes = bytes(tensor.getValue());
            header.append("%s\"%s\":{\"dtype\":\"BF16\",\"shape\":%s,\"data_offsets\":[%d,%d]}"
                    .formatted(
                            at == 0 ? "" : ",", tensor.getKey(), Arrays.toString(tensor.getValue()), at, at + bytes));
            at += bytes;
        }
        return header.append('}').toString();
    }

    /// A Llama, or Phi where it is fused, in bf16 of random weights, 40 MB, as Hugging Face writes one.
    private static Path writeCheckpoint(Path folder, Map<String, int[]> tensors, boolean fused) throws IOException {
        Files.createDirectories(folder);
        Files.writeString(folder.resolve("config.json"), """
                {"architectures": ["%s"], "model_type": "%s", "hidden_size": %d,
                 "num_hidden_layers": %d, "num_attention_heads": %d, "num_key_value_heads": %d, "head_dim": %d,
                 "intermediate_size": %d, "vocab_size": %d, "max_position_embeddings": 2048,
                 "rms_norm_eps": 1e-5, "rope_theta": 10000.0, "tie_word_embeddings": false,
                 "hidden_act": "silu", "torch_dtype": "bfloat16"}
                """.formatted(
                        fused ? "Phi3ForCausalLM" : "LlamaForCausalLM",
                        fused ? "phi3" : "llama",
                        HIDDEN,
                        LAYERS,
                        HEADS,
                        KV_HEADS,
                        HEAD,
                        MLP,
                        VOCABULARY));
        byte[] text = header(tensors).getBytes(StandardCharsets.UTF_8);
        byte[] weights = new byte
                [tensors.values().stream().mapToInt(TestSlicesOfANode::bytes).sum()];
        new Random(5).nextBytes(weights);
        ByteBuffer file = ByteBuffer.allocate(Long.BYTES + text.length + weights.length)
                .order(ByteOrder.LITTLE_ENDIAN)
                .putLong(text.length)
                .put(text)
                .put(weights);
        Files.write(folder.resolve("model.safetensors"), file.array());
        return folder;
    }
}
