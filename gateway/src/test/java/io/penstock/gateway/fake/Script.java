package io.penstock.gateway.fake;

import io.grpc.StatusRuntimeException;
import java.nio.charset.StandardCharsets;
import java.util.Map;
import java.util.concurrent.CountDownLatch;

/// What a [FakeScheduler] does with a sequence: which token is where, and what goes wrong before which position.
///
/// @param tokens by position
/// @param repeats whether they start again after the last; otherwise the model then ends its turn
public record Script(int[] tokens, boolean repeats, Map<Integer, Incident> incidents) {
    /// Something that happens once, before the token of a position is sent.
    public sealed interface Incident {
        record Pause(CountDownLatch until) implements Incident {}

        record Fail(StatusRuntimeException status) implements Incident {}

        /// The scheduler's process ends.
        record Die() implements Incident {}

        /// The position in the message is wrong by so much.
        record Skew(int by) implements Incident {}

        /// The last tokens are sent once more.
        record Repeat(int count) implements Incident {}

        /// The stream ends cleanly, but too early.
        record Hush() implements Incident {}
    }

    public static Script saying(String text) {
        return new Script(bytes(text), false, Map.of());
    }

    public static Script endless(String text) {
        return new Script(bytes(text), true, Map.of());
    }

    public Script with(int position, Incident incident) {
        return new Script(tokens, repeats, Map.of(position, incident));
    }

    /// @return the model's token there, or that it ends
    int token(int position) {
        if (position < tokens.length) {
            return tokens[position];
        }
        return repeats ? tokens[position % tokens.length] : TinyTokenizer.END;
    }

    private static int[] bytes(String text) {
        byte[] bytes = text.getBytes(StandardCharsets.UTF_8);
        int[] tokens = new int[bytes.length];
        for (int i = 0; i < bytes.length; i++) {
            tokens[i] = Byte.toUnsignedInt(bytes[i]);
        }
        return tokens;
    }
}
