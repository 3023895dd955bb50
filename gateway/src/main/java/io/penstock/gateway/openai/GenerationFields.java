package io.penstock.gateway.openai;

import com.fasterxml.jackson.databind.JsonNode;
import io.penstock.gateway.catalogue.ServedModel;
import io.penstock.gateway.chat.Bounds;
import io.penstock.gateway.chat.Json;
import io.penstock.gateway.chat.RequestException;
import io.penstock.model.sampling.SamplingParameters;
import java.util.HashMap;
import java.util.HashSet;
import java.util.List;
import java.util.Map;
import java.util.Optional;
import java.util.OptionalDouble;
import java.util.OptionalInt;
import java.util.OptionalLong;
import java.util.Set;
import java.util.concurrent.ThreadLocalRandom;
import java.util.stream.IntStream;

/// The fields that chat and text completions share.
///
/// @param choices answers to each prompt
/// @param stopTokenIds the model's own, unless they are to be ignored, and the request's
/// @param includeUsage whether a stream ends with the usage
record GenerationFields(
        SamplingParameters sampling,
        int choices,
        List<String> stops,
        Set<Integer> stopTokenIds,
        int minTokens,
        boolean stream,
        boolean includeUsage) {

    static GenerationFields read(Fields fields, ServedModel model) {
        boolean stream = fields.flag("stream");
        Optional<Fields> streamOptions = fields.object("stream_options");
        if (streamOptions.isPresent() && !stream) {
            throw RequestException.bad("stream_options", "`stream_options` is for `stream: true` only.");
        }
        Set<Integer> stopTokenIds = new HashSet<>(stopTokenIds(fields));
        if (!fields.flag("ignore_eos")) {
            stopTokenIds.addAll(model.tokenizer().endOfSequence());
        }
        return new GenerationFields(
                sampling(fields),
                fields.integer("n", 1, Bounds.MAX_CHOICES).orElse(1),
                stops(fields),
                stopTokenIds,
                fields.integer("min_tokens", 0, Integer.MAX_VALUE).orElse(0),
                stream,
                streamOptions.map(options -> options.flag("include_usage")).orElse(false));
    }

    private static SamplingParameters sampling(Fields fields) {
        OptionalLong seed = fields.longInteger("seed", Long.MIN_VALUE, Long.MAX_VALUE);
        return new SamplingParameters(
                number(fields, "temperature", 0, 2, 1),
                number(fields, "top_p", Float.MIN_NORMAL, 1, 1),
                // Some clients have -1 for "off".
                Math.max(0, fields.integer("top_k", -1, Integer.MAX_VALUE).orElse(0)),
                number(fields, "min_p", 0, 1, 0),
                number(fields, "repetition_penalty", Float.MIN_NORMAL, 2, 1),
                number(fields, "frequency_penalty", -2, 2, 0),
                number(fields, "presence_penalty", -2, 2, 0),
                logitBias(fields),
                // Chosen here, so that a stream that is resumed elsewhere goes on drawing as it would have.
                seed.orElseGet(() -> ThreadLocalRandom.current().nextLong()));
    }

    private static float number(Fields fields, String name, double least, double most, float absent) {
        OptionalDouble number = fields.number(name, least, most);
        return number.isPresent() ? (float) number.getAsDouble() : absent;
    }

    private static Map<Integer, Float> logitBias(Fields fields) {
        Map<Integer, Float> biases = new HashMap<>();
        for (Map.Entry<String, JsonNode> entry :
                fields.entries("logit_bias", SamplingParameters.MAX_LOGIT_BIAS).entrySet()) {
            int id;
            try {
                id = Integer.parseInt(entry.getKey());
            } catch (NumberFormatException e) {
                throw noTokenId();
            }
            // Another spelling could name a token twice.
            if (!Integer.toString(id).equals(entry.getKey())) {
                throw noTokenId();
            }
            JsonNode bias = entry.getValue();
            if (!bias.isNumber() || !(bias.doubleValue() >= -100 && bias.doubleValue() <= 100)) {
                throw RequestException.bad(
                        "logit_bias", "`logit_bias` of token %d must be a number in [-100, 100].", id);
            }
            biases.put(id, (float) bias.doubleValue());
        }
        return biases;
    }

    private static RequestException noTokenId() {
        return RequestException.bad("logit_bias", "`logit_bias` names a token by something other than its id.");
    }

    private static List<String> stops(Fields fields) {
        Optional<JsonNode> stop = fields.any("stop");
        List<String> stops;
        if (stop.isEmpty()) {
            return List.of();
        } else if (stop.get().isTextual()) {
            stops = List.of(Json.text(stop.get(), "stop"));
        } else if (stop.get().isArray()) {
            stops = fields.list("stop", Bounds.MAX_STOPS).stream()
                    .map(element -> Json.text(element, "stop"))
                    .toList();
        } else {
            throw fields.wrongType("stop", "a string or an array of strings");
        }
        for (String text : stops) {
            if (text.isEmpty() || text.length() > Bounds.MAX_STOP_LENGTH) {
                throw RequestException.bad(
                        "stop",
                        "A text in `stop` has %d characters, must have 1 to %d.",
                        text.length(),
                        Bounds.MAX_STOP_LENGTH);
            }
        }
        return stops;
    }

    private static Set<Integer> stopTokenIds(Fields fields) {
        Set<Integer> ids = new HashSet<>();
        for (JsonNode id : fields.list("stop_token_ids", Bounds.MAX_STOP_TOKEN_IDS)) {
            if (!id.isIntegralNumber() || !id.canConvertToInt()) {
                throw fields.wrongType("stop_token_ids", "an array of integers");
            }
            ids.add(id.intValue());
        }
        return ids;
    }

    /// @param names of fields that mean the same; later ones supersede
    static OptionalInt maxTokens(Fields fields, int least, String... names) {
        List<OptionalInt> given = IntStream.range(0, names.length)
                .mapToObj(i -> fields.integer(names[i], least, Integer.MAX_VALUE))
                .toList();
        OptionalInt limit = OptionalInt.empty();
        for (int i = 0; i < names.length; i++) {
            if (given.get(i).isPresent()) {
                if (limit.isPresent() && limit.getAsInt() != given.get(i).getAsInt()) {
                    throw RequestException.bad(
                            names[i], "`%s` is set, and something else as `%s`.", names[i - 1], names[i]);
                }
                limit = given.get(i);
            }
        }
        return limit;
    }
}
