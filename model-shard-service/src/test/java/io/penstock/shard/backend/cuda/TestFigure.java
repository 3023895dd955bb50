package io.penstock.shard.backend.cuda;

import static org.assertj.core.api.Assertions.assertThat;
import static org.assertj.core.api.Assertions.assertThatThrownBy;

import org.junit.jupiter.api.Test;

/// What a table is joined from.
final class TestFigure {
    @Test
    void aFigureIsALineThatCanBeToldFromOthers() {
        assertThat(Figure.of("decode", 3.46, "ms")
                        .with("format", "BF16")
                        .with("batch", 1)
                        .with("context", "128-640")
                        .line())
                .isEqualTo(
                        "FIGURE {\"engine\":\"penstock\",\"row\":\"decode\",\"value\":3.46,\"unit\":\"ms\",\"format\":\"BF16\","
                                + "\"batch\":1,\"context\":\"128-640\"}");
    }

    @Test
    void whatIsNoNumberIsNoFigure() {
        assertThatThrownBy(() -> Figure.of("decode", Double.POSITIVE_INFINITY, "ms"))
                .isInstanceOf(IllegalArgumentException.class)
                .hasMessageContaining("decode");
        Figure figure = Figure.of("decode", 1, "ms").with("batch", 1);
        assertThatThrownBy(() -> figure.with("batch", 2)).hasMessageContaining("batch");
    }
}
