package io.penstock.loader.push;

import static org.assertj.core.api.Assertions.assertThat;

import io.penstock.loader.push.BucketUploads.Stored;
import io.penstock.loader.verify.Checksum;
import java.nio.file.Files;
import java.util.HexFormat;
import java.util.List;
import java.util.Optional;
import org.junit.jupiter.api.Test;

class TestPushToS3 extends PushContract {
    TestPushToS3() {
        super(Api.S3);
    }

    @Test
    void theServiceKeepsAChecksumOfTheWholeWhereItCan() {
        push();
        assertThat(uploads().head("m/weights.safetensors").orElseThrow().crc32c())
                .isPresent();
        assertThat(uploads().head("m/sub/config.json").orElseThrow().crc32c()).isPresent();
    }

    @Test
    void anOlderServiceThatKnowsNoChecksumsIsPushedToAndKnownByItsEtags() throws Exception {
        emulator.withoutS3Checksums();
        Push.Result first = push();
        assertIntact(first.revision());
        Stored weights = uploads().head("m/weights.safetensors").orElseThrow();
        assertThat(weights.crc32c()).isEmpty();
        assertThat(weights.etag()).matches("\"[0-9a-f]{32}-9\"");
        Push.Result again = push();
        assertThat(again.sent()).isZero();
        assertThat(again.revision()).isEqualTo(first.revision());

        // One that only its bytes tell from what is there.
        byte[] changed = Files.readAllBytes(model.resolve("weights.safetensors"));
        changed[PIECE + 5]++;
        Files.write(model.resolve("weights.safetensors"), changed);
        assertThat(push().sent()).isEqualTo(changed.length);
    }

    @Test
    void anEtagThatIsNoDigestMakesNoObjectWrong() {
        emulator.withoutS3Checksums();
        BucketUploads.Content content =
                new BucketUploads.Content(3, new Checksum.Crc32cSum(1), List.of("kAFQmDzST7DWlj99KOF/cg=="));
        assertThat(uploads().compare(stored("\"900150983cd24fb0d6963f7d28e17f72\""), content))
                .isEqualTo(BucketUploads.Likeness.SAME);
        for (String etag : new String[] {
            "\"" + HexFormat.of().formatHex(new byte[16]) + "\"",
            "\"900150983cd24fb0d6963f7d28e17f72-2\"",
            "\"abc\"",
            ""
        }) {
            assertThat(uploads().compare(stored(etag), content)).isEqualTo(BucketUploads.Likeness.UNKNOWN);
        }
    }

    private static Stored stored(String etag) {
        return new Stored(3, etag, Optional.empty());
    }
}
