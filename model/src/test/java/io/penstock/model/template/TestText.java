package io.penstock.model.template;

import static org.assertj.core.api.Assertions.assertThat;

import io.penstock.model.tokenizer.PromptText;
import java.util.List;
import java.util.Map;
import java.util.stream.Collectors;
import org.junit.jupiter.api.Test;
import org.junit.jupiter.params.ParameterizedTest;
import org.junit.jupiter.params.provider.CsvSource;

/// Whatever a template does to a message, what comes of it is known to be the message's: only so can a person not write
/// special tokens.
final class TestText {
    /// Renders with trusted text as it is, and what came with the request in brackets.
    private static String marked(String template, Map<String, Object> variables) {
        return JinjaTemplate.parse(template).render(variables).pieces().stream()
                .map(piece -> piece.trusted() ? piece.text() : "[" + piece.text() + "]")
                .collect(Collectors.joining());
    }

    @ParameterizedTest
    @CsvSource(
            delimiter = '#',
            ignoreLeadingAndTrailingWhitespace = true,
            value = {
                "{{ 'a' + m + 'b' }}                    # a[x<s>y]b",
                "{{ 'a' ~ m ~ 'b' }}                    # a[x<s>y]b",
                "{{ ('a' ~ m ~ 'b')[1:-1] }}            # [x<s>y]",
                "{{ ('a' ~ m ~ 'b')[::-1] }}            # b[y>s<x]a",
                "{{ ('a' ~ m)[:2] }}                    # a[x]",
                "{{ m.split('<s>')[1] ~ '<s>' }}        # [y]<s>",
                "{{ m.split('<s>')|join('<s>') }}       # [x]<s>[y]",
                "{{ '<s>'.join(m.split('<s>')) }}       # [x]<s>[y]",
                "{{ m.replace('<s>', '<t>') }}          # [x]<t>[y]",
                "{{ 'p-q'.replace('-', m) }}            # p[x<s>y]q",
                "{{ m|upper }}{{ m|title }}             # [X<S>YX<S>y]",
                "{{ ('a' ~ m)|upper }}                  # A[X<S>Y]",
                "{{ (' a ' ~ m ~ ' ')|trim }}           # a [x<s>y]",
                "{{ m.strip('x') }}                     # [<s>y]",
                "{{ [m, 'z']|tojson }}                  # [\"[x<s>y]\", \"z\"]",
                "{{ {'k': m}|tojson }}                  # {\"k\": \"[x<s>y]\"}",
                "{{ {m: 1}|string }}                    # {'[x<s>y]': 1}",
                "{{ q|tojson }}                         # \"[a\\\"b\\n]\"",
                "{{ [m]|first }}{{ [m]|map('lower')|first }} # [x<s>yx<s>y]",
                "{{ m|list|join }}                      # [x<s>y]",
                "{% for c in m %}{{ c }}-{% endfor %}   # [x]-[<]-[s]-[>]-[y]-",
                "{% set v %}a{{ m }}b{% endset %}{{ v }} # a[x<s>y]b",
                "{% macro f(v) %}<{{ v }}>{% endmacro %}{{ f(m) }} # <[x<s>y]>",
                "{% filter upper %}a{{ m }}{% endfilter %} # A[X<S>Y]",
                "{% set ns = namespace(v='') %}{% set ns.v = ns.v + m %}{{ ns.v }}! # [x<s>y]!",
                "{{ '%s!'|format(m) }}{{ '{}!'.format(m) }} # [x<s>y]![x<s>y]!",
                "{{ m|default('d') }}{{ missing|default(m) }} # [x<s>yx<s>y]",
                "{{ m * 2 }}{{ m|center(9) }}!          # [x<s>yx<s>y]  [x<s>y]  !",
                "!{{ m|indent(2, true) }}{{ m|replace('x', '') }} # !  [x<s>y<s>y]",
                "{{ d.items()|list|first|first }}{{ d|dictsort|first|last }} # [keyvalue]",
                "{{ ['<s>', m]|unique|join }}{{ (['b', m]|sort)|join('/') }} # <s>[x<s>y]b/[x<s>y]",
                "{{ m.partition('<s>')|join('|') }}     # [x]|[<s>]|[y]",
                "{{ m[1] ~ m[-1] ~ m|last ~ m|reverse }} # [<yyy>s<x]",
                "{{ bos_token ~ m ~ eos_token }}        # <s>[x<s>y]</s>",
                "{{ custom }}                           # [<s>]",
                "{{ m|length }}{{ m == 'x<s>y' }}{{ '<s>' in m }} # 5TrueTrue",
            })
    void originIsKept(String template, String expected) {
        Map<String, Object> variables = Map.of(
                "m", "x<s>y",
                "q", "a\"b\n",
                "d", Map.of("key", "value"),
                "bos_token", "<s>",
                "eos_token", "</s>",
                "custom", "<s>");
        assertThat(marked(template, variables)).isEqualTo(expected.replace("\\\\", "\\"));
    }

    @Test
    void equalTextIsOneKeyWhateverItsOrigin() {
        Map<String, Object> variables = Map.of("messages", List.of(Map.of("role", "user", "content", "c")));
        assertThat(marked("{% if messages[0]['role'] == 'user' %}{{ messages[0].content }}{% endif %}", variables))
                .isEqualTo("[c]");
        assertThat(marked("{{ {'user': '<u>'}[messages[0].role] }}", variables)).isEqualTo("<u>");
    }

    @Test
    void neighboursOfOneOriginAreOnePiece() {
        assertThat(JinjaTemplate.parse("a{{ 'b' }}{{ m }}{{ m }}c")
                        .render(Map.of("m", "x"))
                        .pieces())
                .containsExactly(
                        new PromptText.Piece("ab", true),
                        new PromptText.Piece("xx", false),
                        new PromptText.Piece("c", true));
    }
}
