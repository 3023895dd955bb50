package io.penstock.loader.source;

import static org.assertj.core.api.Assertions.assertThat;
import static org.assertj.core.api.Assertions.assertThatThrownBy;

import io.penstock.model.ErrorCategory;
import io.penstock.model.PenstockException;
import org.junit.jupiter.api.Test;
import org.junit.jupiter.params.ParameterizedTest;
import org.junit.jupiter.params.provider.ValueSource;

/// A name that a hostile bucket or hub chooses must not become a path of its choice.
class TestFileName {
    @ParameterizedTest
    @ValueSource(
            strings = {
                "",
                "/etc/passwd",
                "..",
                ".",
                "../x",
                "a/../b",
                "a/..",
                "a/./b",
                "./a",
                "a//b",
                "a/",
                "/",
                "a\\b",
                "..\\x",
                "C:x",
                "c:/x",
                "a\0b",
                "a\nb",
                "a\rb",
                "a\tb",
                "a\u001bb",
                "a\u202egpj.exe",
                "a\u200bb",
                "\ufeffa",
                "\u2024\u2024/x",
                "\uff0e\uff0e/x",
                "a\uff0fb",
                "\u2025/x",
                "a\ue000b",
                "a\ud800b",
                "a\u2028b"
            })
    void isRefused(String name) {
        assertThatThrownBy(() -> new FileName(name))
                .isInstanceOfSatisfying(
                        PenstockException.class,
                        failure -> assertThat(failure.category()).isEqualTo(ErrorCategory.BAD_INPUT))
                .message()
                .matches("[\\x20-\\x7e]+");
    }

    @ParameterizedTest
    @ValueSource(
            strings = {
                "model.gguf",
                "model-00001-of-00163.safetensors",
                "a/b/c.json",
                "with space.txt",
                "..a",
                "a..b",
                ".gitattributes",
                "%2e%2e",
                "öl.bin",
                "模型.bin",
                "~"
            })
    void isAccepted(String name) {
        assertThat(new FileName(name).value()).isEqualTo(name);
    }

    @Test
    void lengthsAreBounded() {
        assertThat(new FileName("a".repeat(255)).value()).hasSize(255);
        assertThatThrownBy(() -> new FileName("a".repeat(256))).hasMessageContaining("255");
        assertThatThrownBy(() -> new FileName("ö".repeat(128))).hasMessageContaining("255");
        assertThatThrownBy(() -> new FileName("a/".repeat(600) + "a")).hasMessageContaining("1024");
    }
}
