package io.penstock.model.tokenizer;

import static org.assertj.core.api.Assertions.assertThat;

import com.fasterxml.jackson.databind.JsonNode;
import com.fasterxml.jackson.databind.ObjectMapper;
import java.io.BufferedReader;
import java.io.IOException;
import java.io.InputStream;
import java.io.InputStreamReader;
import java.nio.charset.StandardCharsets;
import java.nio.file.Files;
import java.nio.file.Path;
import java.util.ArrayList;
import java.util.List;
import java.util.stream.Stream;
import org.junit.jupiter.params.ParameterizedTest;
import org.junit.jupiter.params.provider.MethodSource;

/// Every id is the one that the reference gives: a model fed other ids answers worse, and no one sees why.
/// `tools/references/tokenizer_reference.py` makes the cases.
final class TestTokenizerReference {
    private static final ObjectMapper JSON = new ObjectMapper();

    static Stream<String> names() {
        return RealTokenizers.NAMES.stream();
    }

    @ParameterizedTest
    @MethodSource("names")
    void everyIdIsTheReferences(String name) throws IOException {
        Tokenizer tokenizer = RealTokenizers.get(name);
        List<String> wrong = new ArrayList<>();
        int count = 0;
        try (BufferedReader cases = cases(name)) {
            for (String line = cases.readLine(); line != null; line = cases.readLine()) {
                JsonNode both = JSON.readTree(line);
                int[] expected = JSON.treeToValue(both.get(1), int[].class);
                String text = both.get(0).textValue();
                int[] ids = tokenizer.encode(PromptText.trusted(text));
                count++;
                if (!java.util.Arrays.equals(ids, expected)) {
                    wrong.add("%s: %s, not %s".formatted(both.get(0), java.util.Arrays.toString(ids), both.get(1)));
                }
            }
        }
        assertThat(wrong.stream().limit(5).toList())
                .as("%d of %d cases differ", wrong.size(), count)
                .isEmpty();
        assertThat(count).isGreaterThan(150);
    }

    private static BufferedReader cases(String name) throws IOException {
        String folder = System.getProperty("penstock.tokenizer.cases");
        InputStream bytes = folder == null
                ? TestTokenizerReference.class.getResourceAsStream(name + ".jsonl")
                : Files.newInputStream(Path.of(folder, name + ".jsonl"));
        return new BufferedReader(new InputStreamReader(bytes, StandardCharsets.UTF_8));
    }
}
