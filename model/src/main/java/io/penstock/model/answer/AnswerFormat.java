package io.penstock.model.answer;

import java.util.HashSet;
import java.util.Set;

/// How a model marks, in the text it writes, what it thinks and which functions it calls.
///
/// @param reasoning whether an answer may begin with `<think>…</think>`
public record AnswerFormat(boolean reasoning, Calls calls) {
    /// Everything is content.
    public static final AnswerFormat PLAIN = new AnswerFormat(false, Calls.NONE);

    public enum Calls {
        NONE,
        /// `<tool_call>{"name": …, "arguments": {…}}</tool_call>`: Hermes, Qwen2.5, Qwen3.
        HERMES,
        /// A bare object, or what follows `<|python_tag|>`: Llama 3.1 and later.
        LLAMA3,
        /// `<｜tool▁calls▁begin｜>…`: DeepSeek-V3, R1, V3.1.
        DEEPSEEK
    }

    /// Reads it off the model's own chat template, which writes earlier answers in the form that the model was trained
    /// on.
    ///
    /// @param template its source
    public static AnswerFormat of(String template) {
        Calls calls = Calls.NONE;
        if (template.contains(DeepSeekCalls.CALLS_BEGIN)) {
            calls = Calls.DEEPSEEK;
        } else if (template.contains(HermesCalls.BEGIN)) {
            calls = Calls.HERMES;
        } else if (template.contains(Llama3Calls.PYTHON_TAG) || template.contains("Environment: ipython")) {
            calls = Calls.LLAMA3;
        }
        return new AnswerFormat(template.contains(ReasoningReader.END), calls);
    }

    /// Whether the answer to a prompt begins inside of what the model thinks: some templates write `<think>`
    /// themselves.
    ///
    /// @param prompt as the template rendered it, or its end
    public boolean opensReasoning(String prompt) {
        return reasoning && prompt.stripTrailing().endsWith(ReasoningReader.BEGIN);
    }

    /// Special tokens, which are no text elsewhere, that a parser must see as text; see
    /// [io.penstock.model.tokenizer.Tokenizer#decoder(Set)].
    public Set<String> shownTokens() {
        Set<String> shown = new HashSet<>();
        if (reasoning) {
            shown.add(ReasoningReader.BEGIN);
            shown.add(ReasoningReader.END);
        }
        switch (calls) {
            case NONE -> {}
            case HERMES -> shown.addAll(HermesCalls.MARKERS);
            case LLAMA3 -> shown.add(Llama3Calls.PYTHON_TAG);
            case DEEPSEEK -> shown.addAll(DeepSeekCalls.MARKERS);
        }
        return Set.copyOf(shown);
    }

    /// @param insideReasoning see [#opensReasoning]
    /// @param tools whether the request offered functions to call; without, what looks like a call is content
    /// @return a parser for one answer
    public AnswerParser parser(boolean insideReasoning, boolean tools) {
        return new AnswerParser(writer -> {
            AnswerParser.Reader answer = answer(writer, tools ? calls : Calls.NONE);
            return reasoning ? new ReasoningReader(writer, insideReasoning, answer) : answer;
        });
    }

    private static AnswerParser.Reader answer(PartWriter writer, Calls calls) {
        return switch (calls) {
            case NONE -> new PlainText(writer);
            case HERMES -> new HermesCalls(writer);
            case LLAMA3 -> new Llama3Calls(writer);
            case DEEPSEEK -> new DeepSeekCalls(writer);
        };
    }

    private record PlainText(PartWriter writer) implements AnswerParser.Reader {
        @Override
        public void accept(char c) {
            writer.content(c);
        }

        @Override
        public void finish() {}
    }
}
