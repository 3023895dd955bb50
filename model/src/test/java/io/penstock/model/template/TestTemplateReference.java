package io.penstock.model.template;

import static org.assertj.core.api.Assertions.assertThat;

import com.fasterxml.jackson.core.type.TypeReference;
import com.fasterxml.jackson.databind.JsonNode;
import com.fasterxml.jackson.databind.ObjectMapper;
import io.penstock.model.PenstockException;
import io.penstock.model.tokenizer.RealTokenizers;
import java.io.IOException;
import java.io.InputStream;
import java.nio.charset.StandardCharsets;
import java.nio.file.Files;
import java.nio.file.Path;
import java.security.MessageDigest;
import java.security.NoSuchAlgorithmException;
import java.util.ArrayList;
import java.util.HashMap;
import java.util.HexFormat;
import java.util.List;
import java.util.Map;
import java.util.Optional;
import java.util.stream.Stream;
import org.junit.jupiter.api.Test;
import org.junit.jupiter.api.condition.EnabledIfSystemProperty;
import org.junit.jupiter.params.ParameterizedTest;
import org.junit.jupiter.params.provider.MethodSource;

/// Every prompt is the one that transformers would make: a model that is asked otherwise than it was trained answers
/// worse, and no one sees why. `tools/references/template_reference.py` makes the cases.
final class TestTemplateReference {
    private static final String CASES = "penstock.template.cases";

    private static final ObjectMapper JSON = new ObjectMapper();

    static Stream<String> names() {
        return RealTokenizers.WITH_TEMPLATE.stream();
    }

    @ParameterizedTest
    @MethodSource("names")
    void realTemplatesRenderAsTheReference(String name) throws IOException {
        String source = name.equals("smollm2")
                ? RealTokenizers.smollm2().metadata().chatTemplate().orElseThrow()
                : RealTokenizers.config(name).chatTemplate().orElseThrow();
        List<JsonNode> chats = resource("chats");
        List<String> wrong = compare(source, tokens(name), chats, resource(name));
        assertThat(wrong).isEmpty();
        assertThat(chats).hasSizeGreaterThan(80);
    }

    @Test
    void smallTemplatesRenderAsTheReference() throws IOException {
        List<JsonNode> lines = resource("language");
        Map<String, Object> variables = map(lines.getFirst());
        List<String> wrong = new ArrayList<>();
        for (JsonNode line : lines.subList(1, lines.size())) {
            String template = line.get(0).textValue();
            difference(template, variables, line.get(1)).ifPresent(text -> wrong.add(template + "\n      " + text));
        }
        assertThat(wrong).isEmpty();
        assertThat(lines).hasSizeGreaterThan(150);
    }

    /// By hand: a folder of templates that the generator rendered, named by a system property.
    @Test
    @EnabledIfSystemProperty(named = CASES, matches = ".+")
    void moreTemplatesRenderAsTheReference() throws IOException {
        List<String> wrong = new ArrayList<>();
        try (Stream<Path> files = Files.list(Path.of(System.getProperty(CASES)))) {
            for (Path file : files.filter(path -> path.getFileName().toString().startsWith("extra-"))
                    .sorted()
                    .toList()) {
                List<JsonNode> lines = lines(Files.newInputStream(file));
                for (String difference : compare(
                        lines.getFirst().textValue(),
                        Map.of("bos_token", "<s>", "eos_token", "</s>"),
                        resource("chats"),
                        lines.subList(1, lines.size()))) {
                    wrong.add(file.getFileName() + ": " + difference);
                }
            }
        }
        assertThat(wrong.stream().map(text -> text.substring(0, Math.min(900, text.length()))))
                .isEmpty();
    }

    private static List<String> compare(
            String source, Map<String, String> tokens, List<JsonNode> chats, List<JsonNode> expected)
            throws IOException {
        assertThat(expected).hasSameSizeAs(chats);
        List<String> wrong = new ArrayList<>();
        for (int index = 0; index < chats.size(); index++) {
            Map<String, Object> variables = map(chats.get(index));
            variables.putAll(tokens);
            int at = index;
            difference(source, variables, expected.get(index)).ifPresent(text -> wrong.add("chat " + at + ": " + text));
        }
        return wrong;
    }

    private static Optional<String> difference(String template, Map<String, Object> variables, JsonNode expected) {
        String text;
        try {
            text = JinjaTemplate.parse(template).render(variables).text();
        } catch (PenstockException failure) {
            boolean same = expected.has("raised")
                    ? expected.get("raised").textValue().equals(failure.getMessage())
                    : expected.has("error");
            return same
                    ? Optional.empty()
                    : Optional.of("fails with \"" + failure.getMessage() + "\", not " + expected);
        }
        boolean same = expected.has("sha256")
                ? expected.get("sha256").textValue().equals(sha256(text))
                : expected.has("text") && expected.get("text").textValue().equals(text);
        return same ? Optional.empty() : Optional.of("renders " + JSON.valueToTree(text) + "\n      , not " + expected);
    }

    private static Map<String, String> tokens(String name) {
        Map<String, String> tokens = new HashMap<>();
        if (name.equals("smollm2")) {
            return Map.of("bos_token", "<|im_start|>", "eos_token", "<|im_end|>");
        }
        RealTokenizers.config(name).begin().ifPresent(piece -> tokens.put("bos_token", piece));
        RealTokenizers.config(name).end().ifPresent(piece -> tokens.put("eos_token", piece));
        return tokens;
    }

    private static List<JsonNode> resource(String name) throws IOException {
        return lines(TestTemplateReference.class.getResourceAsStream(name + ".jsonl"));
    }

    private static List<JsonNode> lines(InputStream bytes) throws IOException {
        List<JsonNode> lines = new ArrayList<>();
        try (bytes) {
            for (String line : new String(bytes.readAllBytes(), StandardCharsets.UTF_8).split("\n")) {
                lines.add(JSON.readTree(line));
            }
        }
        return lines;
    }

    private static Map<String, Object> map(JsonNode node) throws IOException {
        return JSON.treeToValue(node, JSON.constructType(new TypeReference<Map<String, Object>>() {}.getType()));
    }

    private static String sha256(String text) {
        try {
            return HexFormat.of()
                    .formatHex(MessageDigest.getInstance("SHA-256").digest(text.getBytes(StandardCharsets.UTF_8)));
        } catch (NoSuchAlgorithmException e) {
            throw new AssertionError(e);
        }
    }
}
