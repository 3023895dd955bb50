package io.penstock.gateway.openai;

import static org.assertj.core.api.Assertions.assertThat;

import io.netty.buffer.Unpooled;
import io.penstock.api.RawHttp2;
import java.io.ByteArrayOutputStream;
import java.io.IOException;
import java.util.Arrays;
import org.junit.jupiter.api.Test;

/// What is a whole of its own in an HTTP/2 connection, whatever pieces it comes in.
class TestFrameBoundaries {
    private static final int PREFACE = 24;
    private static final byte[] BLOCK = RawHttp2.headers(":method", "GET");

    private static byte[] all(byte[]... parts) {
        ByteArrayOutputStream all = new ByteArrayOutputStream();
        all.writeBytes(new byte[PREFACE]);
        for (byte[] part : parts) {
            all.writeBytes(part);
        }
        return all.toByteArray();
    }

    private static FrameBoundaries read(byte[] bytes, int piece) {
        FrameBoundaries frames = new FrameBoundaries();
        for (int at = 0; at < bytes.length; at += piece) {
            frames.read(Unpooled.wrappedBuffer(bytes, at, Math.min(piece, bytes.length - at)));
        }
        return frames;
    }

    /// Ends of each whole, in bytes from the start of the connection, found by reading every beginning of it.
    private static int[] ends(byte[] bytes) {
        return java.util.stream.IntStream.rangeClosed(PREFACE + 1, bytes.length)
                .filter(length ->
                        !read(Arrays.copyOf(bytes, length), bytes.length).halfway())
                .toArray();
    }

    @Test
    void framesAndBlocksEndWhereTheyDo() throws IOException {
        byte[] settings = RawHttp2.frame(RawHttp2.SETTINGS, 0, 0, new byte[0]);
        byte[] headers = RawHttp2.frame(RawHttp2.HEADERS, RawHttp2.END_STREAM, 1, BLOCK);
        byte[] more = RawHttp2.frame(RawHttp2.CONTINUATION, 0, 1, BLOCK);
        byte[] last = RawHttp2.frame(RawHttp2.CONTINUATION, RawHttp2.END_HEADERS, 1, BLOCK);
        byte[] data = RawHttp2.frame(RawHttp2.DATA, RawHttp2.END_HEADERS, 3, new byte[70_000]);
        byte[] bytes = all(settings, headers, more, last, data);
        int afterSettings = PREFACE + settings.length;
        int afterHeaders = afterSettings + headers.length + more.length + last.length;
        byte[] tail = Arrays.copyOfRange(bytes, 0, afterHeaders + 50);
        assertThat(ends(tail)).containsExactly(afterSettings, afterHeaders);
        for (int piece : new int[] {1, 2, 7, 8, 9, 10, 1_000, bytes.length}) {
            FrameBoundaries frames = read(bytes, piece);
            assertThat(frames.halfway()).isFalse();
            assertThat(frames.ended()).isEqualTo(3);
            assertThat(frames.requested()).isTrue();
            frames = read(Arrays.copyOf(bytes, afterHeaders - 1), piece);
            assertThat(frames.halfway()).isTrue();
            assertThat(frames.ended()).isEqualTo(1);
            assertThat(frames.requested()).isFalse();
        }
    }
}
