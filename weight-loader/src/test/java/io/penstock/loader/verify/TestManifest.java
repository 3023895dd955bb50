package io.penstock.loader.verify;

import static org.assertj.core.api.Assertions.assertThat;
import static org.assertj.core.api.Assertions.assertThatThrownBy;

import io.penstock.model.PenstockException;
import java.io.IOException;
import java.nio.file.Files;
import java.nio.file.Path;
import java.util.Arrays;
import java.util.Map;
import java.util.Random;
import java.util.zip.CRC32C;
import org.junit.jupiter.api.Test;
import org.junit.jupiter.api.io.TempDir;
import org.junit.jupiter.params.ParameterizedTest;
import org.junit.jupiter.params.provider.ValueSource;

class TestManifest {
    private static final int PIECE = PieceChecksums.MIN_PIECE;

    @TempDir
    Path folder;

    @Test
    void survivesItsJson() throws IOException {
        byte[] content = new byte[2 * PIECE + 17];
        new Random(3).nextBytes(content);
        Path file = Files.write(folder.resolve("x"), content);
        Path empty = Files.createFile(folder.resolve("empty"));
        Manifest manifest = Manifest.parse(
                Manifest.of(Map.of("a/x", file, "empty", empty), PIECE).toJson());
        Manifest.Entry entry = manifest.files().get("a/x");
        assertThat(entry.size()).isEqualTo(content.length);
        assertThat(entry.pieces().values()).hasSize(3);
        CRC32C last = new CRC32C();
        last.update(Arrays.copyOfRange(content, 2 * PIECE, content.length));
        assertThat(entry.pieces().values()[2]).isEqualTo((int) last.getValue());
        assertThat(manifest.files().get("empty").pieces().values()).isEmpty();
    }

    @ParameterizedTest
    @ValueSource(
            strings = {
                "",
                "[]",
                "{}",
                "{\"version\":2,\"pieceSize\":65536,\"files\":[]}",
                "{\"version\":1,\"pieceSize\":0,\"files\":[{\"name\":\"x\",\"size\":1,\"pieces\":\"AAAAAA==\"}]}",
                "{\"version\":1,\"pieceSize\":65537,\"files\":[{\"name\":\"x\",\"size\":1,\"pieces\":\"AAAAAA==\"}]}",
                "{\"version\":1,\"pieceSize\":65536,\"files\":[{\"name\":\"x\",\"size\":-1,\"pieces\":\"\"}]}",
                "{\"version\":1,\"pieceSize\":65536,\"files\":[{\"name\":\"x\",\"size\":65537,\"pieces\":\"AAAAAA==\"}]}",
                "{\"version\":1,\"pieceSize\":65536,\"files\":[{\"name\":\"x\",\"size\":1,\"pieces\":\"AAAAAAA=\"}]}",
                "{\"version\":1,\"pieceSize\":65536,\"files\":[{\"name\":\"x\",\"size\":1,\"pieces\":\"?\"}]}",
                "{\"version\":1,\"pieceSize\":65536,\"files\":\"x\"}",
                "{\"version\":1,\"pieceSize\":65536,\"files\":[{\"name\":\"x\",\"size\":9e99,\"pieces\":\"AAAA\"}]}"
            })
    void refusesWhatIsNone(String json) {
        assertThatThrownBy(() -> Manifest.parse(json)).isInstanceOf(PenstockException.class);
    }
}
