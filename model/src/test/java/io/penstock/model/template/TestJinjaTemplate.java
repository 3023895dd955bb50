package io.penstock.model.template;

import static org.assertj.core.api.Assertions.assertThat;
import static org.assertj.core.api.Assertions.assertThatThrownBy;

import io.penstock.model.ErrorCategory;
import io.penstock.model.PenstockException;
import java.time.Clock;
import java.time.Duration;
import java.time.Instant;
import java.time.ZoneOffset;
import java.util.HashMap;
import java.util.List;
import java.util.Map;
import org.junit.jupiter.api.Assertions;
import org.junit.jupiter.api.Test;
import org.junit.jupiter.params.ParameterizedTest;
import org.junit.jupiter.params.provider.ValueSource;

/// A template, which is someone else's program, cannot take the gateway down or reach into it; nor can a message.
final class TestJinjaTemplate {
    private static String render(String template, Map<String, Object> variables) {
        return JinjaTemplate.parse(template).render(variables).text();
    }

    @ParameterizedTest
    @ValueSource(
            strings = {
                "{% macro f() %}{{ f() }}{% endmacro %}{{ f() }}",
                "{% macro f(c) %}{{ c(c) }}{% endmacro %}{{ f(f) }}",
                "{% for a in range(99999) %}{% for b in range(99999) %}{% endfor %}{% endfor %}",
                "{% for a in range(99999) %}{% for b in range(99999) %}x{% endfor %}{% endfor %}",
                "{% set ns = namespace(s='xxxxxxxx') %}{% for i in range(99) %}{% set ns.s = ns.s + ns.s %}{% endfor %}",
                "{% set ns = namespace(l=[1]) %}{% for i in range(99) %}{% set ns.l = ns.l + ns.l %}{% endfor %}",
                "{{ 'x' * 9999999999 }}",
                "{{ [1] * 9999999999 }}",
                "{{ 'x'.center(9999999999) }}",
                "{{ 'x'|center(999999999) }}",
                "{{ 'x'.zfill(999999999) }}",
                "{{ 'x'|indent(999999999, true) }}",
                "{{ [1]|tojson(indent=999999999) }}",
                "{{ [1]|batch(999999999, 0) }}",
                "{{ range(100001) }}",
                "{{ 9999999999 * 9999999999 }}",
                "{% set ns = namespace(l=[], k=[]) %}{% for i in range(99) %}{% set ns.l = [ns.l, ns.l] %}"
                        + "{% set ns.k = [ns.k, ns.k] %}{% endfor %}{{ ns.l == ns.k }}",
                "{{ 99 ** 99 }}",
                "{{ -9223372036854775807 - 2 }}",
                "{% set s = 'ab' * 1000000 %}{% for i in range(99999) %}{% set t = s.replace('a', 'b') %}{% endfor %}",
                "{% set s = 'ab' * 1000000 %}{% for i in range(99999) %}{% set t = s|list %}{% endfor %}",
                "{% set s = 'ab' * 1000000 %}{% for i in range(99999) %}{% if s.split('a') %}{% endif %}{% endfor %}",
            })
    void whatTakesTooMuchFails(String template) {
        Assertions.assertTimeoutPreemptively(
                Duration.ofSeconds(20),
                () -> assertThatThrownBy(() -> render(template, Map.of()))
                        .isInstanceOfSatisfying(
                                PenstockException.class,
                                failure -> assertThat(failure.category()).isEqualTo(ErrorCategory.BAD_INPUT)));
    }

    @Test
    void deepSourceIsRefused() {
        for (String deep : List.of(
                "{{ " + "(".repeat(5000) + "1" + ")".repeat(5000) + " }}",
                "{{ " + "[".repeat(5000) + "]".repeat(5000) + " }}",
                "{{ " + "not ".repeat(5000) + "1 }}",
                "{{ " + "-".repeat(5000) + "1 }}",
                "{% if 1 %}".repeat(5000) + "{% endif %}".repeat(5000),
                "{% if 1 %}" + "{% elif 1 %}".repeat(5000) + "{% endif %}",
                "{% set " + "(".repeat(5000) + "a")) {
            assertThatThrownBy(() -> JinjaTemplate.parse(deep))
                    .as(deep.substring(0, 20))
                    .isInstanceOf(PenstockException.class);
        }
    }

    @Test
    void longChainsRunWithoutMuchStack() {
        // They bind to the left, so their depth is that of the tree, not of the source.
        assertThatThrownBy(() -> render("{{ 1" + " + 1".repeat(5000) + " }}", Map.of()))
                .isInstanceOf(PenstockException.class);
        assertThatThrownBy(() -> render("{{ " + "1 if ".repeat(5000) + "1 }}", Map.of()))
                .isInstanceOf(PenstockException.class);
        assertThat(render("{{ 1" + " + 1".repeat(400) + " }}", Map.of())).isEqualTo("401");
        assertThat(render("{{ 'a'" + " ~ 'a'".repeat(5000) + " }}", Map.of())).hasSize(5001);
    }

    @Test
    void deepDataIsRefused() {
        Object deep = "x";
        for (int level = 0; level < 100_000; level++) {
            deep = level % 2 == 0 ? List.of(deep) : Map.of("k", deep);
        }
        Map<String, Object> variables = new HashMap<>();
        variables.put("messages", deep);
        assertThatThrownBy(() -> render("{{ messages|tojson }}", variables))
                .isInstanceOf(PenstockException.class)
                .hasMessageContaining("deep");
        assertThatThrownBy(() -> render(
                        "{% set ns = namespace(v=[]) %}{% for i in range(999) %}{% set ns.v = [ns.v] %}{% endfor %}{{ ns.v }}",
                        Map.of()))
                .isInstanceOf(PenstockException.class)
                .hasMessageContaining("deep");
    }

    @Test
    void messagesAreNeverEvaluated() {
        String hostile = "{{ 7*7 }}{% for x in range(9) %}{{ messages }}{% endfor %}{# {% raw %}";
        assertThat(render("{{ m }}|{{ m|tojson }}|{% set x = m %}{{ x|upper|lower }}", Map.of("m", hostile)))
                .isEqualTo(hostile + "|\"" + hostile + "\"|" + hostile.toLowerCase(java.util.Locale.ROOT));
    }

    @ParameterizedTest
    @ValueSource(
            strings = {
                "{{ m.getClass() }}",
                "{{ m.class.forName('java.lang.Runtime') }}",
                "{{ m.__class__.__mro__ }}",
                "{{ l.append(1) }}",
                "{{ d.update(a=1) }}",
                "{{ d.pop('k') }}",
                "{{ l.sort() }}",
                "{% set ns = namespace(__class__=1) %}",
                "{% set d.k = 1 %}",
                "{{ m|attr('getClass')() }}",
                "{% import 'os' as os %}",
                "{% include '/etc/passwd' %}",
                "{% extends 'x' %}",
                "{% for i in l recursive %}{% endfor %}",
            })
    void thereIsNoWayOut(String template) {
        Map<String, Object> variables = Map.of("m", "x", "l", List.of(1), "d", Map.of("k", 1));
        assertThatThrownBy(() -> render(template, variables)).isInstanceOf(PenstockException.class);
    }

    @Test
    void aTemplatesOwnComplaintIsPassedOn() {
        assertThatThrownBy(
                        () -> render("{{ raise_exception('Roles must alternate: ' ~ r ~ ' %s') }}", Map.of("r", "x")))
                .isInstanceOf(PenstockException.class)
                .hasMessage("Roles must alternate: x %s");
    }

    @Test
    void tellsTheTime() {
        Clock clock = Clock.fixed(Instant.parse("2026-02-05T07:08:09Z"), ZoneOffset.UTC);
        String template = "{{ strftime_now('%d %b %Y, %A %B %-d, %H:%M:%S %I %p %y %j %%') }}";
        assertThat(JinjaTemplate.parse(template, clock).render(Map.of()).text())
                .isEqualTo("05 Feb 2026, Thursday February 5, 07:08:09 07 AM 26 036 %");
    }

    @Test
    void oneTemplateServesManyThreads() {
        JinjaTemplate template = JinjaTemplate.parse(
                "{% set ns = namespace(n=0) %}{% for i in range(50) %}{% set ns.n = ns.n + k %}{% endfor %}{{ ns.n }}");
        assertThat(java.util.stream.IntStream.range(0, 200).parallel().boxed().toList())
                .allSatisfy(
                        k -> assertThat(template.render(Map.of("k", k)).text()).isEqualTo("" + 50 * k));
    }
}
