package io.penstock.gateway.chat;

import static org.assertj.core.api.Assertions.assertThat;
import static org.assertj.core.api.Assertions.assertThatThrownBy;

import io.penstock.api.inference.Token;
import io.penstock.gateway.fake.TinyTokenizer;
import io.penstock.model.PenstockException;
import java.nio.charset.StandardCharsets;
import java.util.ArrayList;
import java.util.List;
import java.util.Set;
import org.junit.jupiter.api.Test;

class TestChoiceText {
    private static final String EMOJI = "a😀é";

    private static List<String> pieces(ChoiceText text, String tokens) {
        List<String> pieces = new ArrayList<>();
        for (byte b : tokens.getBytes(StandardCharsets.UTF_8)) {
            pieces.add(text.append(token(Byte.toUnsignedInt(b))));
        }
        return pieces;
    }

    private static Token token(int id) {
        return Token.newBuilder().setId(id).setLogprob(-id).build();
    }

    @Test
    void charactersComeWholeOrNotAtAll() {
        ChoiceText text = new ChoiceText(new TinyTokenizer(), List.of(), false, 0, Set.of());
        assertThat(pieces(text, EMOJI)).containsExactly("a", "", "", "", "😀", "", "é");
        assertThat(text.finish()).isEmpty();
    }

    @Test
    void aCharacterCutOffAtTheEndIsReplaced() {
        ChoiceText text = new ChoiceText(new TinyTokenizer(), List.of(), false, 0, Set.of());
        text.append(token(0xf0));
        text.append(token(0x9f));
        assertThat(text.finish()).isEqualTo("�");
    }

    @Test
    void logprobsComeWithTheirText() {
        ChoiceText text = new ChoiceText(new TinyTokenizer(), List.of(), true, 0, Set.of());
        List<Integer> taken = new ArrayList<>();
        for (byte b : EMOJI.getBytes(StandardCharsets.UTF_8)) {
            text.append(token(Byte.toUnsignedInt(b)));
            taken.add(text.takeTokens().size());
        }
        assertThat(taken).containsExactly(1, 0, 0, 0, 4, 0, 2);
        text.append(token(TinyTokenizer.END));
        assertThat(text.takeTokens()).isEmpty();
        text.finish();
        assertThat(text.takeTokens())
                .singleElement()
                .satisfies(token -> assertThat(token.text()).isEqualTo("<|end|>"));
    }

    @Test
    void logprobsOfAStopTextAreNotShown() {
        ChoiceText text = new ChoiceText(new TinyTokenizer(), List.of("END"), true, 0, Set.of());
        StringBuilder shown = new StringBuilder();
        List<TokenText> tokens = new ArrayList<>();
        for (byte b : "oENEND!".getBytes(StandardCharsets.UTF_8)) {
            shown.append(text.append(token(b)));
            tokens.addAll(text.takeTokens());
            if (text.stopped()) {
                break;
            }
        }
        assertThat(shown).hasToString("oEN");
        assertThat(tokens).extracting(TokenText::text).containsExactly("o", "E", "N");
        assertThat(tokens).extracting(TokenText::offset).containsExactly(0, 1, 2);
        assertThat(text.tokens()).isEqualTo(6);
    }

    @Test
    void aStopTextBeforeTheLeastTokensIsText() {
        ChoiceText text = new ChoiceText(new TinyTokenizer(), List.of("b"), false, 4, Set.of());
        assertThat(String.join("", pieces(text, "abcb"))).isEqualTo("abc");
        assertThat(text.stopped()).isTrue();
    }

    @Test
    void aRowThatPadsTheEmbeddingsHasNoText() {
        ChoiceText text = new ChoiceText(new TinyTokenizer(), List.of(), true, 0, Set.of());
        assertThat(text.append(token('a'))).isEqualTo("a");
        assertThat(text.append(token(300))).isEmpty();
        assertThat(text.append(token('b'))).isEqualTo("b");
        assertThat(text.tokens()).isEqualTo(3);
        assertThat(text.takeTokens()).extracting(TokenText::text).containsExactly("a", "", "b");
    }

    @Test
    void aTokenThatIsNoneIsRefused() {
        ChoiceText text = new ChoiceText(new TinyTokenizer(), List.of(), false, 0, Set.of());
        assertThatThrownBy(() -> text.append(token(-1)))
                .isInstanceOf(PenstockException.class)
                .hasMessageContaining("-1");
    }
}
