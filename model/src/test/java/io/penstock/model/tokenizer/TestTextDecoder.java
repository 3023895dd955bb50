package io.penstock.model.tokenizer;

import static org.assertj.core.api.Assertions.assertThat;

import com.fasterxml.jackson.databind.JsonNode;
import com.fasterxml.jackson.databind.ObjectMapper;
import java.io.IOException;
import java.io.InputStream;
import java.nio.charset.StandardCharsets;
import java.util.Arrays;
import java.util.HexFormat;
import java.util.OptionalInt;
import java.util.Random;
import java.util.Set;
import org.junit.jupiter.api.Test;
import org.junit.jupiter.params.ParameterizedTest;
import org.junit.jupiter.params.provider.MethodSource;

/// A reader of a stream sees whole characters, as soon as they are whole, and in the end the very text.
final class TestTextDecoder {
    /// A tokenizer with a token for each byte, and one without bytes.
    private static final Tokenizer BYTES = new Tokenizer() {
        @Override
        public int vocabularySize() {
            return 257;
        }

        @Override
        public int[] encode(PromptText prompt) {
            throw new AssertionError("only decodes");
        }

        @Override
        public byte[] bytes(int id) {
            return id == 256 ? new byte[0] : new byte[] {(byte) id};
        }

        @Override
        public String piece(int id) {
            throw new AssertionError("only decodes");
        }

        @Override
        public OptionalInt special(String piece) {
            return OptionalInt.empty();
        }

        @Override
        public OptionalInt beginOfSequence() {
            return OptionalInt.empty();
        }

        @Override
        public Set<Integer> endOfSequence() {
            return Set.of();
        }
    };

    @Test
    void brokenBytesDecodeAsInTheReference() throws IOException {
        int count = 0;
        try (InputStream in = TestTextDecoder.class.getResourceAsStream("decoding.jsonl")) {
            for (String line : new String(in.readAllBytes(), StandardCharsets.UTF_8).split("\n")) {
                JsonNode both = new ObjectMapper().readTree(line);
                byte[] bytes = HexFormat.of().parseHex(both.get(0).textValue());
                assertThat(decode(BYTES, ids(bytes)))
                        .as(line)
                        .isEqualTo(both.get(1).textValue());
                count++;
            }
        }
        assertThat(count).isGreaterThan(300);
    }

    private static int[] ids(byte[] bytes) {
        int[] ids = new int[bytes.length * 2];
        for (int index = 0; index < bytes.length; index++) {
            ids[2 * index] = bytes[index] & 0xFF;
            ids[2 * index + 1] = 256;
        }
        return ids;
    }

    /// Decodes, and holds each piece to what a client may see.
    private static String decode(Tokenizer tokenizer, int... ids) {
        TextDecoder decoder = tokenizer.decoder();
        StringBuilder text = new StringBuilder();
        for (int id : ids) {
            String piece = decoder.append(id);
            assertWhole(piece);
            text.append(piece);
        }
        String last = decoder.finish();
        assertWhole(last);
        return text.append(last).toString();
    }

    private static void assertWhole(String piece) {
        assertThat(StandardCharsets.UTF_8.newEncoder().canEncode(piece))
                .as(piece)
                .isTrue();
    }

    static String[] names() {
        return RealTokenizers.NAMES.toArray(String[]::new);
    }

    @ParameterizedTest
    @MethodSource("names")
    void piecesOfAnyTokensMakeTheWhole(String name) {
        Tokenizer tokenizer = RealTokenizers.get(name);
        Random random = new Random(7);
        for (int round = 0; round < 300; round++) {
            int[] ids = random.ints(random.nextInt(1, 30), 0, tokenizer.vocabularySize())
                    .toArray();
            java.io.ByteArrayOutputStream whole = new java.io.ByteArrayOutputStream();
            Arrays.stream(ids).forEach(id -> whole.writeBytes(tokenizer.bytes(id)));
            assertThat(decode(tokenizer, ids)).isEqualTo(whole.toString(StandardCharsets.UTF_8));
        }
    }

    @ParameterizedTest
    @MethodSource("names")
    void textComesBack(String name) {
        Tokenizer tokenizer = RealTokenizers.get(name);
        String text = "Größe 東京 😀👨‍👩‍👧 naïve\n\n\tx = 12345; // ∀ שלום नमस्ते \u0000\u007f";
        assertThat(decode(tokenizer, tokenizer.encode(PromptText.untrusted(text))))
                // A vocabulary of pieces puts a space before each text, and it stays where a text goes on.
                .isEqualTo((name.equals("llama2") ? " " : "") + text);
    }

    @Test
    void aCharacterComesWithItsLastByte() {
        TextDecoder decoder = BYTES.decoder();
        assertThat(decoder.append(0xF0)).isEmpty();
        assertThat(decoder.append(0x9F)).isEmpty();
        assertThat(decoder.append(0x98)).isEmpty();
        assertThat(decoder.append(0x80)).isEqualTo("😀");
        assertThat(decoder.finish()).isEmpty();
    }
}
