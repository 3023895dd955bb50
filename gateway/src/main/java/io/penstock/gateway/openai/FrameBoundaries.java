package io.penstock.gateway.openai;

import io.netty.buffer.ByteBuf;

/// Follows an HTTP/2 connection as its bytes come, no deeper than where each frame begins and ends
/// (RFC 9113, 3.4 and 4.1). The frames of a block of headers count as one: between them there may be
/// no other.
final class FrameBoundaries {
    private static final int PREFACE_BYTES = 24;
    private static final int HEADER_BYTES = 9;
    private static final int TYPE_AT = 3;
    private static final int FLAGS_AT = 4;

    private static final int HEADERS = 1;
    private static final int CONTINUATION = 9;
    private static final int END_HEADERS = 4;

    private int prefaceLeft = PREFACE_BYTES;
    private int headerSeen;
    private int payloadLeft;
    private int type;
    private boolean endsHeaders;
    private boolean inHeaders;
    private boolean headers;
    private long ended;

    /// @param bytes next in the connection's order; left as they are
    void read(ByteBuf bytes) {
        int at = bytes.readerIndex();
        int end = bytes.writerIndex();
        while (at < end) {
            if (prefaceLeft > 0) {
                int count = Math.min(prefaceLeft, end - at);
                prefaceLeft -= count;
                at += count;
            } else if (headerSeen < HEADER_BYTES) {
                header(bytes.getUnsignedByte(at));
                at++;
            } else {
                int count = Math.min(payloadLeft, end - at);
                payloadLeft -= count;
                at += count;
            }
            if (headerSeen == HEADER_BYTES && payloadLeft == 0) {
                frameEnded();
            }
        }
    }

    private void header(int next) {
        if (headerSeen < TYPE_AT) {
            payloadLeft = payloadLeft << Byte.SIZE | next;
        } else if (headerSeen == TYPE_AT) {
            type = next;
        } else if (headerSeen == FLAGS_AT) {
            endsHeaders = (next & END_HEADERS) != 0;
        }
        headerSeen++;
    }

    private void frameEnded() {
        headerSeen = 0;
        if (type == HEADERS || type == CONTINUATION) {
            inHeaders = !endsHeaders;
            headers |= endsHeaders;
        }
        if (!inHeaders) {
            ended++;
        }
    }

    /// Whether a frame, or a block of headers, has begun and not come to its end.
    boolean halfway() {
        return headerSeen > 0 || inHeaders;
    }

    /// How many have come to their end.
    long ended() {
        return ended;
    }

    /// Whether a whole block of headers has come: a request has begun.
    boolean requested() {
        return headers;
    }
}
