package io.penstock.gateway.fake;

import io.penstock.model.tokenizer.PromptText;
import io.penstock.model.tokenizer.Tokenizer;
import java.io.ByteArrayOutputStream;
import java.nio.charset.StandardCharsets;
import java.util.Arrays;
import java.util.List;
import java.util.OptionalInt;
import java.util.Set;

/// A token a byte, so that characters fall apart as badly as they can, and four special ones.
public final class TinyTokenizer implements Tokenizer {
    public static final int END = 256;
    public static final int USER = 257;
    public static final int SYSTEM = 258;
    public static final int ASSISTANT = 259;
    public static final int TOOL = 260;
    private static final List<String> SPECIALS =
            List.of("<|end|>", "<|user|>", "<|system|>", "<|assistant|>", "<|tool|>");

    @Override
    public int vocabularySize() {
        return END + SPECIALS.size();
    }

    @Override
    public int[] encode(PromptText prompt) {
        int[] ids = new int[prompt.text().getBytes(StandardCharsets.UTF_8).length];
        int count = 0;
        for (PromptText.Piece piece : prompt.pieces()) {
            int special = SPECIALS.indexOf(piece.text());
            if (piece.trusted() && special >= 0) {
                ids[count++] = END + special;
            } else {
                for (byte b : piece.text().getBytes(StandardCharsets.UTF_8)) {
                    ids[count++] = Byte.toUnsignedInt(b);
                }
            }
        }
        return Arrays.copyOf(ids, count);
    }

    /// What a prompt reads as, special tokens as they are spelt.
    public String spell(List<Integer> ids) {
        ByteArrayOutputStream bytes = new ByteArrayOutputStream();
        for (int id : ids) {
            bytes.writeBytes(id < END ? bytes(id) : piece(id).getBytes(StandardCharsets.UTF_8));
        }
        return bytes.toString(StandardCharsets.UTF_8);
    }

    @Override
    public byte[] bytes(int id) {
        return id < END ? new byte[] {(byte) id} : new byte[0];
    }

    @Override
    public String piece(int id) {
        if (id >= vocabularySize()) {
            return "";
        }
        return id < END ? "<0x%02X>".formatted(id) : SPECIALS.get(id - END);
    }

    @Override
    public OptionalInt special(String piece) {
        int index = SPECIALS.indexOf(piece);
        return index < 0 ? OptionalInt.empty() : OptionalInt.of(END + index);
    }

    @Override
    public OptionalInt beginOfSequence() {
        return OptionalInt.empty();
    }

    @Override
    public Set<Integer> endOfSequence() {
        return Set.of(END);
    }
}
