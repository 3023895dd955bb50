package io.penstock.model.checkpoint;

import com.google.errorprone.annotations.FormatMethod;
import com.google.errorprone.annotations.FormatString;
import java.lang.foreign.MemorySegment;
import java.lang.foreign.ValueLayout;
import java.nio.ByteOrder;
import java.nio.charset.StandardCharsets;
import java.nio.file.Path;

/// Reads little-endian values from a file's first bytes, in order. Each read is checked against the length of the file
/// (beyond it: the file is bad) and of the head (beyond it: more must be fetched) before it happens.
final class HeadReader {
    private static final ValueLayout.OfInt INT = ValueLayout.JAVA_INT_UNALIGNED.withOrder(ByteOrder.LITTLE_ENDIAN);
    private static final ValueLayout.OfLong LONG = ValueLayout.JAVA_LONG_UNALIGNED.withOrder(ByteOrder.LITTLE_ENDIAN);

    private final MemorySegment head;
    private final long fileLength;
    private final Path file;
    private long position;
    /// What is being read, for messages.
    private String subject = "header";

    HeadReader(MemorySegment head, long fileLength, Path file) {
        if (head.byteSize() > fileLength) {
            throw new CheckpointException(file, "head", "%d bytes of a file of %d", head.byteSize(), fileLength);
        }
        this.head = head;
        this.fileLength = fileLength;
        this.file = file;
    }

    void subject(String subject) {
        this.subject = subject;
    }

    long position() {
        return position;
    }

    /// Bytes of the file after the position.
    long remaining() {
        return fileLength - position;
    }

    int u8() {
        require(1);
        return Byte.toUnsignedInt(head.get(ValueLayout.JAVA_BYTE, advance(1)));
    }

    int i32() {
        require(Integer.BYTES);
        return head.get(INT, advance(Integer.BYTES));
    }

    long i64() {
        require(Long.BYTES);
        return head.get(LONG, advance(Long.BYTES));
    }

    /// An unsigned 64-bit size or count of things of which each takes `least` bytes or more of what is left of the
    /// file.
    long count(String what, long least) {
        long at = position;
        long count = i64();
        if (count < 0 || count > remaining() / least) {
            throw bad(
                    "%s at offset %d is %s, %d bytes are left in the file",
                    what, at, Long.toUnsignedString(count), remaining());
        }
        return count;
    }

    /// A length-prefixed ASCII name.
    String name(String what, int longest) {
        long at = position;
        long length = count(what + " length", 1);
        if (length == 0 || length > longest) {
            throw bad("%s length at offset %d is %d, must lie in [1, %d]", what, at, length, longest);
        }
        require(length);
        byte[] bytes = new byte[(int) length];
        MemorySegment.copy(head, ValueLayout.JAVA_BYTE, advance(length), bytes, 0, bytes.length);
        for (byte b : bytes) {
            if (b <= ' ' || b == 0x7f) {
                throw bad("%s at offset %d holds byte 0x%02x, printable ASCII expected", what, at, b);
            }
        }
        return new String(bytes, StandardCharsets.US_ASCII);
    }

    void skip(long bytes) {
        require(bytes);
        advance(bytes);
    }

    private long advance(long bytes) {
        long at = position;
        position += bytes;
        return at;
    }

    // INVARIANT: position <= fileLength, so nothing here overflows for bytes >= 0.
    private void require(long bytes) {
        if (bytes > fileLength - position) {
            throw bad("at offset %d needs %d bytes, the file ends after %d", position, bytes, fileLength - position);
        }
        if (bytes > head.byteSize() - position) {
            throw new HeadTooShortException(file, subject, head.byteSize(), position + bytes);
        }
    }

    @FormatMethod
    CheckpointException bad(@FormatString String format, Object... arguments) {
        return new CheckpointException(file, subject, format, arguments);
    }
}
