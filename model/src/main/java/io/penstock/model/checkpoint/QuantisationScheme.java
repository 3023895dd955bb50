package io.penstock.model.checkpoint;

import com.fasterxml.jackson.databind.JsonNode;
import com.google.errorprone.annotations.FormatMethod;
import com.google.errorprone.annotations.FormatString;
import io.penstock.model.quant.Companion;
import io.penstock.model.quant.WeightFormat;
import io.penstock.model.quant.WeightFormat.Grouped;
import io.penstock.model.quant.WeightFormat.Packing;
import io.penstock.model.quant.WeightFormat.Scaled;
import io.penstock.model.quant.WeightFormat.Tabled;
import io.penstock.model.quant.WeightFormat.Zeros;
import io.penstock.model.tensor.DType;
import java.nio.file.Path;
import java.util.Map;
import java.util.Optional;
import java.util.Set;

/// What `quantization_config` says: the format of the matrices that are quantised, and what the tensors
/// of one are called. Which matrices are is told by the tensors, not by lists of modules.
///
/// @param format empty: every matrix is plain
/// @param payload what follows a module's name in that of its payload
/// @param companions what follows it in those of the tensors beside
/// @param ignored what follows it in those of tensors that say nothing of the weights
record QuantisationScheme(
        Optional<WeightFormat> format, String payload, Map<String, Companion> companions, Set<String> ignored) {
    static final QuantisationScheme NONE = new QuantisationScheme(Optional.empty(), "", Map.of(), Set.of());

    private static final String KEY = "quantization_config";
    private static final int LARGEST_GROUP = 1 << 20;
    private static final float INT8_UNIT = 1f / 127;

    /// @param json missing or null: none
    static QuantisationScheme of(JsonNode json) {
        if (json.isMissingNode() || json.isNull()) {
            return NONE;
        }
        String method = json.path("quant_method").asText();
        // Text from outside: there is no enum of what is not read.
        return switch (method) {
            case "gptq" -> gptq(json);
            case "awq" -> awq(json);
            case "fp8" -> fp8(json);
            case "fbgemm_fp8" -> scaled(new Scaled(DType.F8_E4M3, 1, 0, 1));
            case "bitsandbytes" -> bitsandbytes(json);
            case "compressed-tensors" -> compressed(json);
            default ->
                throw bad(
                        "quant_method",
                        "is %s; gptq, awq, fp8, fbgemm_fp8, bitsandbytes and compressed-tensors are read",
                        shown(json.path("quant_method")));
        };
    }

    private static QuantisationScheme gptq(JsonNode json) {
        String file = json.path("checkpoint_format").asText("gptq");
        boolean second = file.equals("gptq_v2");
        if (!second && !file.equals("gptq")) {
            throw bad("checkpoint_format", "is \"%s\"; gptq and gptq_v2 are read", file);
        }
        return new QuantisationScheme(
                Optional.of(new Grouped(
                        bits(json, "bits"),
                        groupSize(json, "group_size"),
                        Packing.INPUTS_DOWN,
                        second ? Zeros.STORED : Zeros.STORED_LESS_ONE,
                        true)),
                "qweight",
                Map.of("scales", Companion.SCALES, "qzeros", Companion.ZEROS, "g_idx", Companion.GROUPS),
                Set.of());
    }

    private static QuantisationScheme awq(JsonNode json) {
        String version = json.path("version").asText("gemm");
        if (!version.equals("gemm") || !json.path("zero_point").asBoolean(true) || bits(json, "bits") != 4) {
            throw bad("version", "is %s; 4 bit gemm with zero points is read", shown(json));
        }
        return new QuantisationScheme(
                Optional.of(new Grouped(4, groupSize(json, "group_size"), Packing.OUTPUTS_ACROSS, Zeros.STORED, false)),
                "qweight",
                Map.of("scales", Companion.SCALES, "qzeros", Companion.ZEROS),
                Set.of());
    }

    private static QuantisationScheme fp8(JsonNode json) {
        String kind = json.path("fmt").asText("e4m3");
        DType elements = switch (kind) {
            case "e4m3" -> DType.F8_E4M3;
            case "e5m2" -> DType.F8_E5M2;
            // Text from outside, as above.
            default -> throw bad("fmt", "is \"%s\"; e4m3 and e5m2 are read", kind);
        };
        JsonNode tile = json.path("weight_block_size");
        if (tile.isMissingNode() || tile.isNull()) {
            return scaled(new Scaled(elements, 0, 0, 1));
        }
        if (tile.size() != 2) {
            throw bad("weight_block_size", "is %s, two sizes are expected", shown(tile));
        }
        return scaled(new Scaled(
                elements, size(tile.path(0), "weight_block_size"), size(tile.path(1), "weight_block_size"), 1));
    }

    private static QuantisationScheme scaled(Scaled format) {
        return new QuantisationScheme(
                Optional.of(format),
                "weight",
                Map.of("weight_scale_inv", Companion.SCALES, "weight_scale", Companion.SCALES),
                Set.of("input_scale", "activation_scale", "input_scale_ub"));
    }

    private static QuantisationScheme bitsandbytes(JsonNode json) {
        if (json.path("load_in_8bit").asBoolean(false)) {
            return new QuantisationScheme(
                    Optional.of(new Scaled(DType.I8, 1, 0, INT8_UNIT)),
                    "weight",
                    Map.of("SCB", Companion.SCALES),
                    Set.of("weight_format"));
        }
        String type = json.path("bnb_4bit_quant_type").asText("fp4");
        if (!type.equals("nf4") && !type.equals("fp4")) {
            throw bad("bnb_4bit_quant_type", "is \"%s\"; nf4 and fp4 are read", type);
        }
        // The size of blocks stands beside each tensor only; all files that there are have this one.
        return new QuantisationScheme(
                Optional.of(
                        new Tabled(64, json.path("bnb_4bit_use_double_quant").asBoolean(false))),
                "weight",
                Map.of(
                        "weight.absmax",
                        Companion.SCALES,
                        "weight.quant_map",
                        Companion.CODES,
                        "weight.nested_absmax",
                        Companion.NESTED_SCALES,
                        "weight.nested_quant_map",
                        Companion.NESTED_CODES,
                        "weight.quant_state.bitsandbytes__" + type,
                        Companion.STATE),
                Set.of());
    }

    private static QuantisationScheme compressed(JsonNode json) {
        JsonNode groups = json.path("config_groups");
        if (groups.size() != 1) {
            throw bad("config_groups", "has %d groups, one is read", groups.size());
        }
        JsonNode weights = groups.elements().next().path("weights");
        String format = json.path("format").asText();
        String strategy = weights.path("strategy").asText();
        boolean symmetric = weights.path("symmetric").asBoolean(true);
        return switch (format) {
            case "pack-quantized" -> packed(weights, strategy, symmetric);
            case "float-quantized", "int-quantized", "naive-quantized" -> {
                boolean floats = weights.path("type").asText().equals("float");
                if (bits(weights, "num_bits") != 8 || !symmetric) {
                    throw bad("config_groups", "are %s; 8 bits without zero points are read", shown(weights));
                }
                yield scaled(tiles(floats ? DType.F8_E4M3 : DType.I8, weights, strategy));
            }
            default ->
                throw bad(
                        "format",
                        "is \"%s\"; pack-quantized, float-quantized, int-quantized and naive-quantized are read",
                        format);
        };
    }

    private static Scaled tiles(DType elements, JsonNode weights, String strategy) {
        return switch (strategy) {
            case "tensor" -> new Scaled(elements, 0, 0, 1);
            case "channel" -> new Scaled(elements, 1, 0, 1);
            case "group" -> new Scaled(elements, 1, groupSize(weights, "group_size"), 1);
            case "block" -> {
                JsonNode tile = weights.path("block_structure");
                yield new Scaled(
                        elements, size(tile.path(0), "block_structure"), size(tile.path(1), "block_structure"), 1);
            }
            default -> throw bad("strategy", "is \"%s\"; tensor, channel, group and block are read", strategy);
        };
    }

    private static QuantisationScheme packed(JsonNode weights, String strategy, boolean symmetric) {
        if (!strategy.equals("group") && !strategy.equals("channel")) {
            throw bad("strategy", "is \"%s\"; group and channel are read of packed integers", strategy);
        }
        JsonNode order = weights.path("actorder");
        boolean reordered = order.asText().equals("group") || order.asText().equals("true");
        return new QuantisationScheme(
                Optional.of(new Grouped(
                        bits(weights, "num_bits"),
                        strategy.equals("channel") ? 0 : groupSize(weights, "group_size"),
                        Packing.INPUTS_ACROSS,
                        symmetric ? Zeros.MIDDLE : Zeros.STORED,
                        reordered)),
                "weight_packed",
                Map.of(
                        "weight_scale", Companion.SCALES,
                        "weight_zero_point", Companion.ZEROS,
                        "weight_g_idx", Companion.GROUPS),
                Set.of("weight_shape", "input_scale"));
    }

    private static int bits(JsonNode json, String key) {
        int bits = json.path(key).asInt();
        if (bits != 4 && bits != 8) {
            throw bad(key, "is %s; 4 and 8 are read", shown(json.path(key)));
        }
        return bits;
    }

    /// @return 0 for -1, which means all inputs
    private static int groupSize(JsonNode json, String key) {
        JsonNode value = json.path(key);
        return value.isInt() && value.intValue() == -1 ? 0 : size(value, key);
    }

    private static int size(JsonNode value, String key) {
        if (!value.isInt() || value.intValue() < 1 || value.intValue() > LARGEST_GROUP) {
            throw bad(key, "is %s, must lie in [1, %d]", shown(value), LARGEST_GROUP);
        }
        return value.intValue();
    }

    private static String shown(JsonNode value) {
        String text = value.isMissingNode() ? "missing" : value.toString();
        return text.length() <= 80 ? text : text.substring(0, 80) + "…";
    }

    @FormatMethod
    private static CheckpointException bad(String key, @FormatString String format, Object... arguments) {
        return new CheckpointException(Path.of(SafetensorsCheckpoint.CONFIG), KEY + "." + key, format, arguments);
    }
}
