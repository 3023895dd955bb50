package io.penstock.model.answer;

import static org.assertj.core.api.Assertions.assertThat;
import static org.junit.jupiter.api.Assertions.assertTimeout;

import com.fasterxml.jackson.core.JsonProcessingException;
import com.fasterxml.jackson.databind.ObjectMapper;
import io.penstock.model.answer.AnswerFormat.Calls;
import io.penstock.model.answer.AnswerPart.CallArguments;
import io.penstock.model.answer.AnswerPart.CallBegin;
import io.penstock.model.answer.AnswerPart.CallEnd;
import io.penstock.model.answer.AnswerPart.Content;
import io.penstock.model.answer.AnswerPart.Reasoning;
import java.time.Duration;
import java.util.ArrayList;
import java.util.List;
import java.util.SplittableRandom;
import java.util.stream.Stream;
import org.junit.jupiter.api.Test;
import org.junit.jupiter.params.ParameterizedTest;
import org.junit.jupiter.params.provider.EnumSource;
import org.junit.jupiter.params.provider.MethodSource;

/// A client is shown thoughts as thoughts and calls as calls, however the text arrives; and nothing that was written is
/// lost when it was neither.
class TestAnswerParser {
    private static final AnswerFormat PLAIN = AnswerFormat.PLAIN;
    private static final AnswerFormat R1 = new AnswerFormat(true, Calls.DEEPSEEK);
    private static final AnswerFormat V3 = new AnswerFormat(false, Calls.DEEPSEEK);
    private static final AnswerFormat QWEN2 = new AnswerFormat(false, Calls.HERMES);
    private static final AnswerFormat QWEN3 = new AnswerFormat(true, Calls.HERMES);
    private static final AnswerFormat LLAMA = new AnswerFormat(false, Calls.LLAMA3);
    private static final String V3_CALL =
            "<｜tool▁call▁begin｜>function<｜tool▁sep｜>%s\n```json\n%s\n```<｜tool▁call▁end｜>";

    /// @param inside whether the prompt opened the model's thoughts
    /// @param expected as [#shown] writes it
    record Case(AnswerFormat format, boolean inside, String text, String expected) {}

    static Stream<Case> cases() {
        String hermes = "<tool_call>\n{\"name\": \"get\", \"arguments\": {\"city\": \"São {P}\\\"\"}}\n</tool_call>";
        String hermesShown = "call 0 get({\"city\": \"São {P}\\\"\"})";
        return Stream.of(
                new Case(PLAIN, false, " <think>a</think> <tool_call>\n", "say[ <think>a</think> <tool_call>\n]"),
                new Case(R1, false, "<think>\nwhy\n\nso\n</think>\n\nHello", "think[why\n\nso] say[Hello]"),
                new Case(R1, true, "\nwhy</think>Hello\n", "think[why] say[Hello\n]"),
                new Case(R1, true, "<think> a < b </thin </think>x", "think[<think> a < b </thin] say[x]"),
                new Case(R1, false, "\n\n<think></think>\n", ""),
                new Case(R1, false, " Hi <think>no</think>", "say[ Hi <think>no</think>]"),
                new Case(R1, true, "cut off </thi", "think[cut off </thi]"),
                new Case(R1, false, "<thin", "say[<thin]"),
                new Case(R1, false, "<<think>x", "say[<<think>x]"),
                new Case(QWEN3, false, "<think>\nx\n</think>\n\n" + hermes, "think[x] " + hermesShown),
                new Case(QWEN3, true, hermes + "</think>ok", "think[" + hermes + "] say[ok]"),
                new Case(QWEN2, false, hermes, hermesShown),
                new Case(QWEN2, false, "Let me see.\n" + hermes, "say[Let me see.] " + hermesShown),
                new Case(
                        QWEN2,
                        false,
                        hermes + "\n" + hermes.replace("get", "set") + "\nDone.",
                        hermesShown + " " + hermesShown.replace("0 get", "1 set") + " say[Done.]"),
                new Case(
                        QWEN2,
                        false,
                        "<tool_call>{\"arguments\": {\"a\": [1, {}]}, \"x\": [\"}\"], \"name\": \"f\"}</tool_call>",
                        "call 0 f({\"a\": [1, {}]})"),
                new Case(QWEN2, false, "<tool_call>{\"name\":\"f\"}</tool_call>", "call 0 f({})"),
                new Case(
                        QWEN2,
                        false,
                        "<tool_call>{\"name\":\"f\",\"arguments\":null,\"n\":-1.5}</tool_call>",
                        "call 0 f({})"),
                new Case(
                        QWEN2,
                        false,
                        "<tool_call>{\"name\":\"f\",\"arguments\":\"{\\\"a\\\": 1}\"}</tool_call>",
                        "call 0 f({\"a\": 1})"),
                // No end tag; a second call at once.
                new Case(
                        QWEN2,
                        false,
                        "<tool_call>{\"name\":\"f\"}<tool_call>{\"name\":\"g\"}",
                        "call 0 f({}) call 1 g({})"),
                // The end tag within a string is the string's.
                new Case(
                        QWEN2,
                        false,
                        "<tool_call>{\"name\":\"f\",\"arguments\":{\"a\":\"</tool_call>\"}}</tool_call>",
                        "call 0 f({\"a\":\"</tool_call>\"})"),
                new Case(
                        QWEN2,
                        false,
                        "<tool_call>{\"name\":\"f\",\"arguments\":{\"a\":1,}}</tool_call>.",
                        "call 0 f({\"a\":1,}) say[.]"),
                new Case(QWEN2, false, "<tool_call>{\"name\":\"f\",\"arguments\":{\"a\":", "call 0 f({\"a\":) cut"),
                new Case(
                        QWEN2,
                        false,
                        "<tool_call>{\"name\":\"f\",\"arguments\":{\"a\":1} oops}",
                        "call 0 f({\"a\":1}) say[oops}]"),
                // What is no call is text, unchanged.
                new Case(QWEN2, false, "a <tool_call> b", "say[a <tool_call> b]"),
                new Case(QWEN2, false, "<tool_call><tool_call>{}", "say[<tool_call><tool_call>{}]"),
                new Case(QWEN2, false, "<tool_call>{\"name\": 5}", "say[<tool_call>{\"name\": 5}]"),
                new Case(QWEN2, false, "<tool_call>{\"name\": \"\"}x", "say[<tool_call>{\"name\": \"\"}x]"),
                new Case(QWEN2, false, "<tool_call>{\"a\": 1}", "say[<tool_call>{\"a\": 1}]"),
                new Case(QWEN2, false, "<tool_call>{\"name\":\"\\x\"}", "say[<tool_call>{\"name\":\"\\x\"}]"),
                new Case(
                        QWEN2,
                        false,
                        "<tool_call>{\"name\":\"f\",\"arguments\":5}",
                        "say[<tool_call>{\"name\":\"f\",\"arguments\":5}]"),
                new Case(QWEN2, false, "<tool_call>{\"name\":\"f\"", "say[<tool_call>{\"name\":\"f\"]"),
                new Case(QWEN2, false, "</tool_call> </tool", "say[</tool_call> </tool]"),
                new Case(
                        LLAMA,
                        false,
                        "{\"name\": \"f\", \"parameters\": {\"a\": \"b\"}}; {\"name\": \"g\", \"parameters\": {}}",
                        "call 0 f({\"a\": \"b\"}) call 1 g({})"),
                new Case(
                        LLAMA,
                        false,
                        "\n{\"type\": \"function\", \"name\": \"f\", \"parameters\": {}}",
                        "call 0 f({})"),
                new Case(LLAMA, false, "{\"name\": \"Bob\", \"age\": 3}", "say[{\"name\": \"Bob\", \"age\": 3}]"),
                new Case(LLAMA, false, "{a} {\"name\"", "say[{a} {\"name\"]"),
                new Case(
                        LLAMA,
                        false,
                        "Use {\"name\": \"f\", \"parameters\": {}}",
                        "say[Use {\"name\": \"f\", \"parameters\": {}}]"),
                new Case(
                        LLAMA,
                        false,
                        "<|python_tag|>{\"name\": \"f\", \"parameters\": {\"a\": 1}}",
                        "call 0 f({\"a\": 1})"),
                new Case(
                        LLAMA,
                        false,
                        "<|python_tag|>brave_search.call(query=\"a, \\\"b\\\"\", n = 3, all=True)",
                        "call 0 brave_search({\"query\": \"a, \\\"b\\\"\", \"n\": 3, \"all\": true})"),
                new Case(
                        LLAMA,
                        false,
                        "Look: <|python_tag|>print(\"x\")\nprint(2)\n",
                        "say[Look:] call 0 code_interpreter({\"code\": \"print(\\\"x\\\")\\nprint(2)\"})"),
                new Case(
                        LLAMA,
                        false,
                        "<|python_tag|>a.call(f(1))",
                        "call 0 code_interpreter({\"code\": \"a.call(f(1))\"})"),
                new Case(LLAMA, false, "<|python_tag|>", "say[<|python_tag|>]"),
                new Case(LLAMA, false, "a <|python", "say[a <|python]"),
                new Case(
                        V3,
                        false,
                        "Sure.<｜tool▁calls▁begin｜>" + V3_CALL.formatted("f", "{\"a\": \"```\"}") + "\n"
                                + V3_CALL.formatted("g", "{}") + "<｜tool▁calls▁end｜>",
                        "say[Sure.] call 0 f({\"a\": \"```\"}) call 1 g({})"),
                new Case(
                        R1,
                        true,
                        "hm</think><｜tool▁calls▁begin｜><｜tool▁call▁begin｜>f<｜tool▁sep｜>{\"a\":{}}<｜tool▁call▁end｜>"
                                + "<｜tool▁calls▁end｜>\nbye",
                        "think[hm] call 0 f({\"a\":{}}) say[bye]"),
                new Case(V3, false, "<｜tool▁calls▁begin｜>\n?", "say[<｜tool▁calls▁begin｜>\n?]"),
                new Case(
                        V3,
                        false,
                        "<｜tool▁calls▁begin｜><｜tool▁call▁begin｜>function<｜tool▁sep｜>f\n```python\n{}",
                        "say[<｜tool▁calls▁begin｜><｜tool▁call▁begin｜>function<｜tool▁sep｜>f\n```python\n{}]"),
                new Case(
                        V3,
                        false,
                        "<｜tool▁calls▁begin｜><｜tool▁call▁begin｜>function<｜tool▁sep｜>f\n```json\n{\"a",
                        "call 0 f({\"a) cut"),
                new Case(
                        V3,
                        false,
                        "<｜tool▁calls▁begin｜><｜tool▁call▁begin｜>function<｜tool▁s",
                        "say[<｜tool▁calls▁begin｜><｜tool▁call▁begin｜>function<｜tool▁s]"));
    }

    @ParameterizedTest
    @MethodSource("cases")
    void partsAnAnswerHoweverItIsCut(Case given) {
        assertThat(shown(given, List.of(given.text))).isEqualTo(given.expected);
        for (int cut = 0; cut <= given.text.length(); cut++) {
            List<String> pieces = List.of(given.text.substring(0, cut), given.text.substring(cut));
            assertThat(shown(given, pieces)).as("cut at %d", cut).isEqualTo(given.expected);
        }
        SplittableRandom random = new SplittableRandom(3);
        for (int round = 0; round < 20; round++) {
            List<String> pieces = new ArrayList<>();
            for (int at = 0; at < given.text.length(); ) {
                int end = Math.min(given.text.length(), at + 1 + random.nextInt(1 + round));
                pieces.add(given.text.substring(at, end));
                at = end;
            }
            assertThat(shown(given, pieces)).as("%s", pieces).isEqualTo(given.expected);
        }
    }

    @Test
    void withoutToolsACallIsText() {
        String text = "<tool_call>{\"name\":\"f\"}</tool_call>";
        List<AnswerPart> parts = new ArrayList<>();
        AnswerParser parser = QWEN3.parser(false, false);
        parser.accept("<think>t</think>", parts::add);
        parser.accept(text, parts::add);
        parser.finish(parts::add);
        assertThat(parts).containsExactly(new Reasoning("t"), new Content(text));
    }

    @Test
    void givesTextAndArgumentsOutAsTheyCome() {
        AnswerParser parser = QWEN3.parser(false, true);
        List<AnswerPart> parts = new ArrayList<>();
        String[] pieces = {
            "<think>",
            "Wh",
            "y?",
            "</think>",
            "\n\nBe",
            "cause",
            "\n<tool_call>{\"name\": \"f\", ",
            "\"arguments\": {\"a\"",
            ": 1",
            "}",
            "}"
        };
        List<Integer> counts = new ArrayList<>();
        for (String piece : pieces) {
            parser.accept(piece, parts::add);
            counts.add(parts.size());
        }
        assertThat(counts).containsExactly(0, 1, 2, 2, 3, 4, 4, 6, 7, 8, 9);
        assertThat(parts)
                .containsExactly(
                        new Reasoning("Wh"),
                        new Reasoning("y?"),
                        new Content("Be"),
                        new Content("cause"),
                        new CallBegin(0, "f"),
                        new CallArguments(0, "{\"a\""),
                        new CallArguments(0, ": 1"),
                        new CallArguments(0, "}"),
                        new CallEnd(0, true));
    }

    /// Whoever is slow here is slow for every stream of the gateway.
    @ParameterizedTest
    @EnumSource
    void hostileOutputCostsNoMoreThanOther(Calls calls) {
        int length = 1 << 18;
        for (String unit : List.of(
                "<",
                "<think>",
                "<tool_call>",
                "<tool_call>{",
                "{",
                "{\"name\":",
                "\"",
                "\\",
                " ",
                "</thin",
                "<tool_call>{\"name\":\"f\",\"arguments\":{",
                "<｜tool▁calls▁begin｜>",
                "<|python_tag|>x.call(",
                "<｜tool▁calls▁begin｜><｜tool▁call▁begin｜>f<｜tool▁sep｜>{",
                ") ",
                "<｜tool▁call▁begin")) {
            String text = unit.repeat(length / unit.length());
            AnswerParser parser = new AnswerFormat(true, calls).parser(false, true);
            long[] given = new long[1];
            // A square of the length would take many minutes.
            assertTimeout(Duration.ofSeconds(5), () -> {
                for (int at = 0; at < text.length(); at += 3) {
                    parser.accept(text.substring(at, Math.min(text.length(), at + 3)), part -> given[0] += size(part));
                }
                parser.finish(part -> given[0] += size(part));
            });
            assertThat(given[0]).as("characters given out for %s", unit).isLessThanOrEqualTo(3L * text.length() + 64);
        }
    }

    private static long size(AnswerPart part) {
        return switch (part) {
            case Reasoning(String text) -> text.length();
            case Content(String text) -> text.length();
            case CallBegin(int index, String name) -> name.length();
            case CallArguments(int index, String json) -> json.length();
            case CallEnd(int index, boolean whole) -> 0;
        };
    }

    /// Random pieces of all the markers: whole calls are well-formed in what they promise, and no text is made up.
    @ParameterizedTest
    @EnumSource
    void anyOutputIsPartedTheSameWayHoweverItIsCut(Calls calls) {
        List<String> words = List.of(
                "<think>",
                "</think>",
                "<tool_call>",
                "</tool_call>",
                "{\"name\": \"f\"",
                ", \"arguments\": ",
                "{\"a\": 1}",
                "}",
                "<|python_tag|>",
                "<｜tool▁calls▁begin｜>",
                "<｜tool▁call▁begin｜>",
                "function",
                "<｜tool▁sep｜>",
                "\n",
                "```json\n",
                "\n```",
                "<｜tool▁call▁end｜>",
                "<｜tool▁calls▁end｜>",
                " ",
                "x",
                "\"",
                "\\",
                ";",
                "<",
                "é😀");
        SplittableRandom random = new SplittableRandom(11);
        for (int round = 0; round < 3_000; round++) {
            StringBuilder text = new StringBuilder();
            for (int i = random.nextInt(14); i >= 0; i--) {
                text.append(words.get(random.nextInt(words.size())));
            }
            Case given = new Case(new AnswerFormat(true, calls), random.nextBoolean(), text.toString(), "");
            int cut = random.nextInt(text.length() + 1);
            assertThat(shown(given, List.of(text.substring(0, cut), text.substring(cut))))
                    .isEqualTo(shown(given, List.of(given.text)));
        }
    }

    @Test
    void readsTheFormatOffTheTemplate() {
        assertThat(AnswerFormat.of("{{ messages }}")).isEqualTo(PLAIN);
        assertThat(AnswerFormat.of("<tool_call>")).isEqualTo(QWEN2);
        assertThat(AnswerFormat.of("c.split('</think>') <tool_call>")).isEqualTo(QWEN3);
        assertThat(AnswerFormat.of("'<｜tool▁calls▁begin｜>' '</think>'")).isEqualTo(R1);
        assertThat(AnswerFormat.of("Environment: ipython")).isEqualTo(LLAMA);
        assertThat(R1.opensReasoning("<｜Assistant｜><think>\n")).isTrue();
        assertThat(R1.opensReasoning("<｜Assistant｜>")).isFalse();
        assertThat(V3.opensReasoning("<think>\n")).isFalse();
        assertThat(LLAMA.shownTokens()).containsExactly("<|python_tag|>");
    }

    private static String shown(Case given, List<String> pieces) {
        List<AnswerPart> parts = new ArrayList<>();
        AnswerParser parser = given.format.parser(given.inside, true);
        pieces.forEach(piece -> parser.accept(piece, parts::add));
        parser.finish(parts::add);
        StringBuilder out = new StringBuilder();
        AnswerPart before = null;
        int open = -1;
        for (AnswerPart part : parts) {
            switch (part) {
                case Reasoning(String text) -> join(out, "think[", text, before instanceof Reasoning);
                case Content(String text) -> join(out, "say[", text, before instanceof Content);
                case CallBegin(int index, String name) -> {
                    assertThat(open).isEqualTo(-1);
                    open = index;
                    out.append(" call ").append(index).append(' ').append(name).append('(');
                }
                case CallArguments(int index, String json) -> {
                    assertThat(index).isEqualTo(open);
                    out.append(json);
                }
                case CallEnd(int index, boolean whole) -> {
                    assertThat(index).isEqualTo(open);
                    open = -1;
                    out.append(whole ? ")" : ") cut");
                }
            }
            before = part;
        }
        assertThat(open).isEqualTo(-1);
        return out.toString().strip();
    }

    private static void join(StringBuilder out, String kind, String text, boolean continued) {
        assertThat(text).isNotEmpty();
        if (continued) {
            out.setLength(out.length() - 1);
            out.append(text).append(']');
        } else {
            out.append(' ').append(kind).append(text).append(']');
        }
    }

    @Test
    void whatABuiltInCallMeansIsJson() throws JsonProcessingException {
        for (String code :
                List.of("f.call(a='x\\ty', b=-1.5, c=None)", "f.call()", "f.call(a=01)", "x = 1\n\"\\\u0001")) {
            assertThat(new ObjectMapper()
                            .readTree(BuiltInCall.of(code).arguments())
                            .isObject())
                    .as(code)
                    .isTrue();
        }
        assertThat(BuiltInCall.of("f.call(a=01)").name()).isEqualTo("code_interpreter");
        assertThat(BuiltInCall.of("f.call()").arguments()).isEqualTo("{}");
    }
}
