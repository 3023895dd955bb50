package io.penstock.model.tokenizer;

import static org.assertj.core.api.Assertions.assertThat;

import com.fasterxml.jackson.databind.JsonNode;
import com.fasterxml.jackson.databind.ObjectMapper;
import java.io.IOException;
import java.io.InputStream;
import java.nio.ByteBuffer;
import java.nio.ByteOrder;
import java.security.MessageDigest;
import java.security.NoSuchAlgorithmException;
import java.util.HexFormat;
import java.util.stream.Stream;
import org.junit.jupiter.params.ParameterizedTest;
import org.junit.jupiter.params.provider.MethodSource;

/// What people write, in 34 languages and nine kinds of files, becomes the ids that the reference
/// gives, each with each tokenizer. `tools/references/corpus.py` makes the texts and the checksums of
/// their ids.
final class TestTokenizerCorpus {
    private static final ObjectMapper JSON = new ObjectMapper();

    static Stream<String> names() {
        return RealTokenizers.NAMES.stream();
    }

    @ParameterizedTest
    @MethodSource("names")
    void everyIdIsTheReferences(String name) throws IOException, NoSuchAlgorithmException {
        Tokenizer tokenizer = RealTokenizers.get(name);
        JsonNode corpus = json("corpus.json");
        JsonNode expected = json("corpus_ids.json").path(name);
        assertThat(expected).hasSameSizeAs(corpus).hasSizeGreaterThan(40);
        for (int index = 0; index < corpus.size(); index++) {
            int[] ids = tokenizer.encode(
                    PromptText.untrusted(corpus.path(index).path("text").textValue()));
            assertThat(ids.length + " ids, " + digest(ids))
                    .as("%s", corpus.path(index).path("name"))
                    .isEqualTo(expected.path(index).path(0).asText() + " ids, "
                            + expected.path(index).path(1).textValue());
        }
    }

    private static String digest(int[] ids) throws NoSuchAlgorithmException {
        ByteBuffer bytes = ByteBuffer.allocate(ids.length * Integer.BYTES).order(ByteOrder.LITTLE_ENDIAN);
        bytes.asIntBuffer().put(ids);
        return HexFormat.of().formatHex(MessageDigest.getInstance("SHA-256").digest(bytes.array()));
    }

    private static JsonNode json(String name) throws IOException {
        try (InputStream bytes = TestTokenizerCorpus.class.getResourceAsStream(name)) {
            return JSON.readTree(bytes);
        }
    }
}
