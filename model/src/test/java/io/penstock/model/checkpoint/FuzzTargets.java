package io.penstock.model.checkpoint;

import com.code_intelligence.jazzer.api.FuzzedDataProvider;
import com.code_intelligence.jazzer.junit.FuzzTest;
import io.penstock.model.PenstockException;
import io.penstock.model.answer.AnswerFormat;
import io.penstock.model.answer.AnswerParser;
import io.penstock.model.template.JinjaTemplate;
import java.lang.foreign.MemorySegment;
import java.util.List;
import java.util.Map;

/// Whatever bytes come from outside, they are read or refused. No part of the ordinary build, whose own damage to
/// files is in [TestFuzzCheckpoints]: `tools/fuzz.sh` lets Jazzer look for more.
class FuzzTargets {
    @FuzzTest(maxDuration = "10m")
    void safetensors(byte[] file) {
        try {
            SafetensorsHead.parse(MemorySegment.ofArray(file), file.length, "fuzzed.safetensors");
        } catch (PenstockException refused) {
            // As it should be.
            return;
        }
    }

    @FuzzTest(maxDuration = "10m")
    void gguf(byte[] file) {
        try {
            GgufCheckpoint.parse(MemorySegment.ofArray(file), file.length, "fuzzed.gguf");
        } catch (PenstockException refused) {
            return;
        }
    }

    @FuzzTest(maxDuration = "10m")
    void config(byte[] text) {
        try {
            HuggingFaceConfig config = HuggingFaceConfig.parse(MemorySegment.ofArray(text));
            config.read();
            config.quantisation();
            config.guessingLayers();
        } catch (PenstockException refused) {
            return;
        }
    }

    @FuzzTest(maxDuration = "10m")
    void template(FuzzedDataProvider data) {
        String source = data.consumeString(4_000);
        String content = data.consumeRemainingAsString();
        try {
            JinjaTemplate.parse(source)
                    .render(Map.of(
                            "messages",
                            List.of(Map.of("role", "user", "content", content)),
                            "add_generation_prompt",
                            true));
        } catch (PenstockException refused) {
            return;
        }
    }

    @FuzzTest(maxDuration = "10m")
    void answer(FuzzedDataProvider data) {
        AnswerFormat.Calls[] all = AnswerFormat.Calls.values();
        AnswerFormat format = new AnswerFormat(data.consumeBoolean(), all[data.consumeInt(0, all.length - 1)]);
        AnswerParser parser = format.parser(data.consumeBoolean(), data.consumeBoolean());
        StringBuilder given = new StringBuilder();
        while (data.remainingBytes() > 0) {
            parser.accept(data.consumeString(8), given::append);
        }
        parser.finish(given::append);
    }
}
