package io.penstock.shard.backend.cuda;

import static org.assertj.core.api.Assertions.assertThat;
import static org.assertj.core.api.Assertions.assertThatThrownBy;

import io.penstock.model.PenstockException;
import java.io.IOException;
import java.io.InputStream;
import java.io.UncheckedIOException;
import java.nio.charset.StandardCharsets;
import java.nio.file.Files;
import java.nio.file.Path;
import java.util.List;
import java.util.regex.Matcher;
import java.util.regex.Pattern;
import java.util.stream.Collectors;
import java.util.stream.Stream;
import org.junit.jupiter.api.Test;

/// What Java and the kernels must agree on, and what NVRTC gets where there is no compiled kernel.
class TestKernelSources {
    private static String source(String name) {
        try (InputStream in = TestKernelSources.class.getResourceAsStream("/cuda/" + name)) {
            return new String(in.readAllBytes(), StandardCharsets.UTF_8);
        } catch (IOException e) {
            throw new UncheckedIOException(e);
        }
    }

    @Test
    void sourcesBecomeOneTextWithoutAnyInclude() {
        for (String name : List.of(
                "attention.cu",
                "contexts.cu",
                "decode.cu",
                "elementwise.cu",
                "gated.cu",
                "gemm.cu",
                "gemm_widening.cu",
                "gemv.cu",
                "peers.cu",
                "prompts.cu",
                "sampling.cu",
                "weights.cu")) {
            String text = Nvrtc.inline(name, TestKernelSources::source);
            assertThat(text)
                    .doesNotContain("#include")
                    .containsOnlyOnce("struct Step {")
                    .contains("extern \"C\"");
        }
    }

    @Test
    void recordsHaveTheSameSize() {
        assertThat(source("sampling.cu"))
                .contains("TOP = %d, RECORD = %d;".formatted(StepMemory.MAX_ALTERNATIVES, StepMemory.RESULT_WORDS));
        assertThat(source("attention.cuh")).contains("KEYS = 64;");
        assertThat(source("common.cuh")).contains("words + %d;".formatted(StepDescriptor.HEADER));
        assertThat(source("common.cuh")).contains("SHARES = %d;".formatted(ContextShares.MOST));
        DecodeTiling tiling = DecodeTiling.chosen();
        assertThat(source("decode.cu"))
                .contains("#define TILING_WARPS %d\n".formatted(tiling.warps()))
                .contains("MOST = %d;".formatted(DecodeKernel.MAX_VECTORS))
                .contains("GRANULES = %d;".formatted(DecodeKernel.MAX_GRANULES));
        assertThat(source("decode.cu")).contains(formats());
        assertThat(source("weights.cu")).contains(formats());
    }

    /// A product whose tiles, stages or threads are not those of its kernel writes past its memory or never ends.
    @Test
    void productsAreCutAsTheirKernelsAre() {
        assertThat(source("gemm.cuh"))
                .contains("SLICE = %d;".formatted(ProductTiling.SLICE_BYTES))
                .contains("BLOCK_ROWS = %d;".formatted(ProductTiling.BLOCK_ROWS))
                .contains("MOST_STAGES = %d;".formatted(ProductTiling.MAX_STAGES))
                .contains("enum { TO_F32, TO_SUM, TO_ACTIVATED };");
        assertThat(source("gemm_widening.cu")).contains(formats());
        for (ProductTiling tiling : ProductTiling.ALL) {
            String text = source(tiling.source() + ".cu");
            String family = tiling.kernel().replaceFirst("_\\d+$", "");
            String constants = tiling.operands().widened()
                    ? "GEMM(name, type, %d, %d, %d)".formatted(tiling.vectors(), tiling.blocks(), tiling.depth())
                    : "GEMM(name, type, %d, %d)".formatted(tiling.vectors(), tiling.depth());
            assertThat(text)
                    .contains("GEMMS(" + family + ", ", constants)
                    .contains("__launch_bounds__(CONSUMERS + %d, 1)".formatted(tiling.threads() - 256));
        }
    }

    @Test
    void gatesAndUpsAreCutAsTheirKernelIs() {
        String text = source("gated.cu");
        assertThat(text)
                .contains("CLUSTER = %d, STAGES = %d,".formatted(GatedProducts.CLUSTER, GatedProducts.STAGES))
                .contains("VECTORS = %d, ROWS = %d; ".formatted(GatedProducts.BLOCK_VECTORS, GatedProducts.ROWS))
                .contains("WARP_VECTORS = %d,".formatted(GatedProducts.WARP_VECTORS))
                .contains("WARPGROUP = 128, CONSUMERS = %d;".formatted(GatedProducts.THREADS - 128))
                .contains("__launch_bounds__(CONSUMERS + WARPGROUP, 1)");
        String kernel = bodyOf(text, "gatedBf16\\([^{]*");
        assertThat(kernel).startsWith("dependentsLaunch();\n").contains(" bringAll(");
        // Only vectors are another kernel's, and results follow from them.
        String brings = bodyOf(text, "FORCE void bringAll\\([^{]*");
        assertThat(brings.indexOf("dependencyWait();"))
                .isPositive()
                .isLessThan(brings.indexOf("bringVectors(walk, i)"));
    }

    /// A kernel that is launched before the one ahead of it has ended must wait for that: one that does not would
    /// read what is not there yet.
    @Test
    void everyKernelThatMayFollowEarlyWaits() {
        Pattern launched = Pattern.compile("modules\\.following\\(\"(\\w+)\", \"(\\w+)\"");
        Matcher kernels = launched.matcher(javaSource("ForwardPass")
                + javaSource("StreamedContexts")
                + javaSource("WidePrompts")
                + javaSource("WeightProducts"));
        int found = 0;
        while (kernels.find()) {
            String text = source(kernels.group(1) + ".cu");
            // A macro makes the kernels that are a function's instances.
            Matcher macro =
                    Pattern.compile("\n(\\w+)\\(" + kernels.group(2) + "\\w*, ").matcher(text);
            String body = bodyOf(
                    text,
                    macro.find()
                            ? "#define " + macro.group(1) + "\\([^{]*"
                            : "__global__[^;{]*\\b" + kernels.group(2) + "\\([^{]*");
            if (!body.startsWith("dependentsLaunch();")) {
                String called = body.replaceFirst("(?s)^(\\w+).*", "$1");
                body = bodyOf(text, "FORCE void " + called + "\\([^{]*");
            }
            assertThat(body.substring(0, body.indexOf("\n}\n")))
                    .as("%s of %s.cu", kernels.group(2), kernels.group(1))
                    .startsWith("dependentsLaunch();\n")
                    .containsPattern("\n +dependencyWait\\(\\);\n");
            found++;
        }
        assertThat(found).isEqualTo(17);
    }

    private static String bodyOf(String text, String head) {
        Matcher matcher = Pattern.compile(head + "\\{\\s*").matcher(text);
        assertThat(matcher.find()).as(head).isTrue();
        return text.substring(matcher.end());
    }

    private static String javaSource(String name) {
        try {
            return Files.readString(Path.of("src/main/java/io/penstock/shard/backend/cuda", name + ".java"));
        } catch (IOException e) {
            throw new UncheckedIOException(e);
        }
    }

    private static String formats() {
        return "enum { %s };"
                .formatted(Stream.of(WeightFormat.values()).map(Enum::name).collect(Collectors.joining(", ")));
    }

    @Test
    void aMissingLibraryIsNamedWithThePlacesSearched() {
        assertThatThrownBy(() -> NativeLibrary.find("libpenstock-nowhere.so.7", "libpenstock-nowhere.so.6"))
                .isInstanceOf(PenstockException.class)
                .hasMessageContaining("libpenstock-nowhere.so.7, libpenstock-nowhere.so.6")
                .hasMessageContaining("/usr/lib/x86_64-linux-gnu");
    }
}
