package io.penstock.model.checkpoint;

import static java.nio.charset.StandardCharsets.UTF_8;

import com.code_intelligence.jazzer.junit.FuzzTest;
import com.sun.management.ThreadMXBean;
import io.penstock.model.PenstockException;
import io.penstock.model.answer.AnswerFormat;
import io.penstock.model.answer.AnswerParser;
import io.penstock.model.config.ModelConfig.Architecture;
import io.penstock.model.template.JinjaTemplate;
import io.penstock.model.tensor.DType;
import io.penstock.model.tokenizer.GgufVocabulary;
import io.penstock.model.tokenizer.PromptText;
import io.penstock.model.tokenizer.Tokenizer;
import io.penstock.model.tokenizer.TokenizerConfig;
import io.penstock.model.tokenizer.TokenizerJson;
import java.io.IOException;
import java.io.InputStream;
import java.lang.foreign.MemorySegment;
import java.lang.management.ManagementFactory;
import java.nio.file.Files;
import java.nio.file.Path;
import java.util.List;
import java.util.Map;
import java.util.Optional;
import java.util.Set;
import java.util.stream.Stream;
import org.junit.jupiter.params.provider.MethodSource;

/// Whatever bytes come from outside, they are read or refused, and files take no more memory than twice their size and
/// 16 MiB. No part of the ordinary build, whose own damage to files is in [TestFuzzCheckpoints]: `tools/fuzz.sh` lets
/// Jazzer look for more, beginning with what the methods that are named after a target give.
class FuzzTargets {
    private static final ThreadMXBean THREADS = (ThreadMXBean) ManagementFactory.getThreadMXBean();
    private static final TokenizerConfig NO_CONFIG =
            new TokenizerConfig(Optional.empty(), Optional.empty(), Optional.empty(), Set.of(), Optional.empty());

    /// A checkpoint of one file.
    private record OneFile(String name, byte[] bytes) implements CheckpointFiles {
        @Override
        public Set<String> names() {
            return Set.of(name);
        }

        @Override
        public long size(String asked) {
            return bytes.length;
        }

        @Override
        public MemorySegment head(String asked, long atLeast) {
            return MemorySegment.ofArray(bytes);
        }
    }

    static Stream<byte[]> safetensorsFiles() throws IOException {
        return Stream.of(inFolder("model.safetensors"));
    }

    @MethodSource("safetensorsFiles")
    @FuzzTest(maxDuration = "10m")
    void safetensors(byte[] file) {
        bounded(file, () -> SafetensorsHead.parse(MemorySegment.ofArray(file), file.length, "fuzzed.safetensors"));
    }

    static Stream<byte[]> ggufFiles() throws IOException {
        return Stream.of(
                TinyCheckpoints.gguf(TinyCheckpoints.config(Architecture.LLAMA, true), DType.Q8_0, 5)
                        .toBytes(),
                resource("/io/penstock/model/tokenizer/pieces/pieces.gguf"));
    }

    private static byte[] resource(String name) throws IOException {
        try (InputStream bytes = FuzzTargets.class.getResourceAsStream(name)) {
            return bytes.readAllBytes();
        }
    }

    @MethodSource("ggufFiles")
    @FuzzTest(maxDuration = "10m")
    void gguf(byte[] file) {
        bounded(file, () -> {
            GgufCheckpoint checkpoint = GgufCheckpoint.parse(MemorySegment.ofArray(file), file.length, "fuzzed.gguf");
            GgufVocabulary.of(checkpoint.metadata())
                    .tokenizer(Path.of("fuzzed.gguf"))
                    .encode(PromptText.untrusted(" a  b </s> <0x41> e\u0301\ud83d\ude00"));
        });
    }

    static Stream<byte[]> configs() throws IOException {
        return Stream.of(inFolder("config.json"));
    }

    @MethodSource("configs")
    @FuzzTest(maxDuration = "10m")
    void config(byte[] text) {
        bounded(text, () -> {
            HuggingFaceConfig config = HuggingFaceConfig.parse(MemorySegment.ofArray(text));
            config.read();
            config.quantisation();
            config.guessingLayers();
        });
    }

    private static byte[] inFolder(String name) throws IOException {
        Path folder = Files.createTempDirectory("fuzz");
        TinyCheckpoints.writeFolder(folder, TinyCheckpoints.config(Architecture.QWEN2, true), DType.BF16, 1, 5);
        return Files.readAllBytes(folder.resolve(name));
    }

    static Stream<byte[]> tokenizers() throws IOException {
        return Stream.of(resource("/io/penstock/model/tokenizer/pieces/tokenizer.json"), """
                {"model": {"type": "BPE", "vocab": {"a": 0, "b": 1, "ab": 2, "Ġ": 3, "1": 6}, "merges": [["a", "b"]],
                           "ignore_merges": true},
                 "added_tokens": [{"id": 4, "content": "<x>", "special": true, "lstrip": true, "rstrip": true},
                                  {"id": 5, "content": "ba", "single_word": true, "normalized": true}],
                 "normalizer": {"type": "Sequence", "normalizers": [{"type": "NFC"}]},
                 "pre_tokenizer": {"type": "Sequence", "pretokenizers": [
                    {"type": "Digits", "individual_digits": true},
                    {"type": "Split", "behavior": "Isolated", "invert": false,
                     "pattern": {"Regex": "(?i:'s|'t)|[^\\\\r\\\\n\\\\p{L}]?\\\\p{L}+|\\\\p{N}{1,3}|\\\\s+(?!\\\\S)|a++"}},
                    {"type": "ByteLevel", "add_prefix_space": false, "use_regex": false}]},
                 "post_processor": {"type": "TemplateProcessing", "single": [{"SpecialToken": {"id": "<x>"}}]}}
                """.getBytes(UTF_8));
    }

    /// A tokenizer that is read at all encodes any text, its own file for one.
    @MethodSource("tokenizers")
    @FuzzTest(maxDuration = "10m")
    void tokenizer(byte[] json) {
        bounded(json, () -> {
            Tokenizer tokenizer = TokenizerJson.read(new OneFile(TokenizerJson.NAME, json), NO_CONFIG);
            tokenizer.encode(PromptText.trusted("  <x>\n ba ab'S 1234 e\u0301\ud83d\ude00"));
            tokenizer.encode(PromptText.trusted(new String(json, 0, Math.min(500, json.length), UTF_8)));
        });
    }

    static Stream<byte[]> templates() {
        return Stream.of(
                        "{%- for m in messages -%}{{ '<' ~ m['role'] ~ '>' + m.content | trim }}{% if loop.last %}!{% endif %}"
                                + "{% endfor %}{% if add_generation_prompt %}{{ raise_exception('x') }}{% endif %}",
                        "{% set ns = namespace(n=1) %}{% macro f(a, b=2) %}{{ a|tojson(indent=2) }}{% endmacro %}{{ f(messages) }}"
                                + "{% for i in range(3) if i is odd %}{% set ns.n = ns.n + i %}{% endfor %}{{ ns.n // 2 }}",
                        "{{ messages[::-1][0].content.split(' ')[-1].strip('x') }}{{ '%s' | format(1.5e3) }}{{ {'a': [1, none]} }}"
                                + "{{ messages | map(attribute='role') | join(', ') | upper }}{# c #}{{ strftime_now('%Y') }}")
                .map(source -> source.getBytes(UTF_8));
    }

    @MethodSource("templates")
    @FuzzTest(maxDuration = "10m")
    void template(byte[] source) {
        try {
            JinjaTemplate.parse(new String(source, UTF_8))
                    .render(Map.of(
                            "messages",
                            List.of(Map.of("role", "user", "content", "{{ x }} <|im_end|> a\u0301\ud83d\ude00")),
                            "add_generation_prompt",
                            true));
        } catch (PenstockException refused) {
            return;
        }
    }

    static Stream<byte[]> answers() {
        return Stream.of(
                        "a<think>b</think>c<tool_call>\n{\"name\": \"f\", \"arguments\": {\"x\": [1, \"}\"]}}\n</tool_call>d",
                        "b</think><|python_tag|>f.call(q=\"x\", n=1.5)",
                        "c{\"name\": \"f\", \"parameters\": {\"x\": {\"y\": null}}}; {\"name\": \"g\"}",
                        "d<｜tool▁calls▁begin｜><｜tool▁call▁begin｜>function<｜tool▁sep｜>f\n```json\n{\"x\": 1}\n```"
                                + "<｜tool▁call▁end｜><｜tool▁calls▁end｜>")
                .map(answer -> answer.getBytes(UTF_8));
    }

    /// The first byte says which parser, and how its input is cut.
    @MethodSource("answers")
    @FuzzTest(maxDuration = "10m")
    void answer(byte[] given) {
        if (given.length == 0) {
            return;
        }
        AnswerFormat.Calls[] all = AnswerFormat.Calls.values();
        int choice = given[0] & 0xff;
        AnswerFormat format = new AnswerFormat(choice % 2 == 1, all[choice / 8 % all.length]);
        AnswerParser parser = format.parser(choice / 2 % 2 == 1, choice / 4 % 2 == 1);
        String text = new String(given, 1, given.length - 1, UTF_8);
        StringBuilder parts = new StringBuilder();
        int step = 1 + choice % 7;
        for (int from = 0; from < text.length(); from += step) {
            parser.accept(text.substring(from, Math.min(text.length(), from + step)), parts::append);
        }
        parser.finish(parts::append);
    }

    private static void bounded(byte[] input, Runnable read) {
        long most = 2L * input.length + (16 << 20);
        // The first time some classes are loaded, and instrumented, which is no fault of the input.
        if (allocated(read) > most) {
            long again = allocated(read);
            if (again > most) {
                throw new AssertionError("%d bytes of input took %d bytes".formatted(input.length, again));
            }
        }
    }

    private static long allocated(Runnable read) {
        long before = THREADS.getCurrentThreadAllocatedBytes();
        try {
            read.run();
        } catch (PenstockException refused) {
            // As it should be; memory is bounded all the same.
            return THREADS.getCurrentThreadAllocatedBytes() - before;
        }
        return THREADS.getCurrentThreadAllocatedBytes() - before;
    }
}
