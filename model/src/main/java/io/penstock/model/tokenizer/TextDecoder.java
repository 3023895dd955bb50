package io.penstock.model.tokenizer;

import java.nio.ByteBuffer;
import java.nio.CharBuffer;
import java.nio.charset.CharsetDecoder;
import java.nio.charset.CodingErrorAction;
import java.nio.charset.StandardCharsets;

/// Turns one stream of tokens into text, holding back bytes until they make whole characters. The pieces it returns
/// concatenate to the decoding of the whole; bytes that are no UTF-8 become U+FFFD.
public final class TextDecoder {
    private final Tokenizer tokenizer;
    private final CharsetDecoder utf8 = StandardCharsets.UTF_8
            .newDecoder()
            .onMalformedInput(CodingErrorAction.REPLACE)
            .onUnmappableCharacter(CodingErrorAction.REPLACE);
    private byte[] pending = {};

    TextDecoder(Tokenizer tokenizer) {
        this.tokenizer = tokenizer;
    }

    /// @return the whole characters that this token completed; often empty
    public String append(int id) {
        return decode(tokenizer.bytes(id), false);
    }

    /// @return what is left at the end of the stream, replacement characters for a broken one
    public String finish() {
        return decode(new byte[0], true);
    }

    private String decode(byte[] next, boolean end) {
        ByteBuffer in = ByteBuffer.allocate(pending.length + next.length);
        in.put(pending).put(next).flip();
        // One char a byte is enough for any UTF-8.
        CharBuffer out = CharBuffer.allocate(in.remaining());
        utf8.decode(in, out, end);
        if (end) {
            utf8.flush(out);
            utf8.reset();
        }
        pending = new byte[in.remaining()];
        in.get(pending);
        return out.flip().toString();
    }
}
