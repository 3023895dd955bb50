package io.penstock.cli.system;

import static org.assertj.core.api.Assertions.assertThat;

import com.fasterxml.jackson.databind.JsonNode;
import com.fasterxml.jackson.databind.ObjectMapper;
import java.io.BufferedReader;
import java.io.IOException;
import java.io.InputStreamReader;
import java.io.UncheckedIOException;
import java.nio.charset.StandardCharsets;
import java.util.List;
import java.util.stream.StreamSupport;

/// What float32 arithmetic says the test model answers (see `tools/references/greedy_reference.py`).
///
/// @param margins distance of each token to the second best; null where the reference does not say
record Reference(String name, JsonNode messages, List<Integer> ids, List<Double> logprobs, List<Double> margins) {
    private static final int END = 2;
    private static final double CLOSE_CALL = 1e-3;
    private static final double LOGPROB_TOLERANCE = 1e-3;

    static List<Reference> all() {
        ObjectMapper json = new ObjectMapper();
        try (BufferedReader lines = new BufferedReader(new InputStreamReader(
                Reference.class.getResourceAsStream("/greedy-reference.jsonl"), StandardCharsets.UTF_8))) {
            return lines.lines()
                    .map(line -> {
                        try {
                            return of(json.readTree(line));
                        } catch (IOException e) {
                            throw new UncheckedIOException(e);
                        }
                    })
                    .toList();
        } catch (IOException e) {
            throw new UncheckedIOException(e);
        }
    }

    private static Reference of(JsonNode line) {
        return new Reference(
                line.get("name").textValue(),
                line.get("messages"),
                stream(line.get("greedy_ids")).map(JsonNode::intValue).toList(),
                doubles(line.get("logprobs")),
                doubles(line.get("margins")));
    }

    private static List<Double> doubles(JsonNode array) {
        return stream(array)
                .map(value -> value.isNull() ? Double.NaN : value.doubleValue())
                .toList();
    }

    private static java.util.stream.Stream<JsonNode> stream(JsonNode array) {
        return StreamSupport.stream(array.spliterator(), false);
    }

    /// How many tokens a client sees: not the end token.
    int expectedTokens() {
        return ids.getLast() == END ? ids.size() - 1 : ids.size();
    }

    /// Every token equal up to where the reference itself is undecided, log-probabilities close.
    void check(Completion completion) {
        int expected = expectedTokens();
        for (int i = 0; i < expected; i++) {
            if (margins.get(i) < CLOSE_CALL) {
                return;
            }
            assertThat(completion.tokens().size()).as("%s: tokens", name).isGreaterThan(i);
            Completion.Token token = completion.tokens().get(i);
            assertThat(token.id()).as("%s: token %d", name, i).isEqualTo(ids.get(i));
            if (!logprobs.get(i).isNaN()) {
                assertThat(Math.abs(token.logprob() - logprobs.get(i)))
                        .as("%s: log-probability of token %d", name, i)
                        .isLessThan(LOGPROB_TOLERANCE);
            }
        }
        assertThat(completion.finishReason())
                .as("%s: finish reason", name)
                .isEqualTo(ids.getLast() == END ? "stop" : "length");
        assertThat(completion.tokens()).as("%s: tokens", name).hasSize(expected);
    }
}
