package io.penstock.loader.push;

import io.penstock.loader.source.TransientFailure;
import io.penstock.loader.verify.Crc32c;
import java.io.IOException;
import java.io.InputStream;
import java.net.http.HttpRequest.BodyPublisher;
import java.net.http.HttpRequest.BodyPublishers;
import java.nio.ByteBuffer;
import java.nio.channels.FileChannel;
import java.nio.file.Path;
import java.security.MessageDigest;
import java.security.NoSuchAlgorithmException;
import java.time.Duration;
import java.util.Base64;
import java.util.zip.CRC32C;

/// Some bytes of a local file on their way out. They are read twice: for the checksum that goes before them, and,
/// out of the page cache by then, to be sent.
final class FileRegion {
    private final Path path;
    private final long offset;
    private final long length;
    private volatile long lastRead = System.nanoTime();

    FileRegion(Path path, long offset, long length) {
        this.path = path;
        this.offset = offset;
        this.length = length;
    }

    /// @param pieces CRC32C of each piece
    /// @param whole CRC32C of all of it
    /// @param md5 base64
    record Sums(int[] pieces, int whole, String md5) {}

    /// @param withMd5 whether that is wanted, too; it costs as much as all the rest
    Sums sums(int pieceSize, boolean withMd5) {
        int[] pieces = new int[Math.toIntExact(Math.ceilDiv(length, pieceSize))];
        ByteBuffer buffer = ByteBuffer.allocate(pieceSize);
        MessageDigest md5 = md5();
        int whole = 0;
        try (FileChannel channel = FileChannel.open(path)) {
            for (int piece = 0; piece < pieces.length; piece++) {
                long at = (long) piece * pieceSize;
                buffer.clear().limit((int) Math.min(pieceSize, length - at));
                while (buffer.hasRemaining()) {
                    if (channel.read(buffer, offset + at + buffer.position()) < 0) {
                        throw new IOException("it ends before byte " + (offset + length));
                    }
                }
                CRC32C crc = new CRC32C();
                crc.update(buffer.flip().duplicate());
                if (withMd5) {
                    md5.update(buffer.duplicate());
                }
                pieces[piece] = (int) crc.getValue();
                whole = Crc32c.combine(whole, pieces[piece], buffer.limit());
            }
        } catch (IOException e) {
            throw LocalFile.unreadable(path, e);
        }
        return new Sums(pieces, whole, withMd5 ? Base64.getEncoder().encodeToString(md5.digest()) : "");
    }

    static MessageDigest md5() {
        try {
            return MessageDigest.getInstance("MD5");
        } catch (NoSuchAlgorithmException e) {
            throw new IllegalStateException("every Java platform has MD5", e);
        }
    }

    /// The bytes, a few KiB in memory at a time.
    BodyPublisher body() {
        lastRead = System.nanoTime();
        return length == 0
                ? BodyPublishers.noBody()
                : BodyPublishers.fromPublisher(BodyPublishers.ofInputStream(this::open), length);
    }

    /// @return how long nobody has taken a byte
    Duration silence() {
        return Duration.ofNanos(System.nanoTime() - lastRead);
    }

    /// The bytes once, from the first on.
    InputStream open() {
        try {
            return new Bytes(FileChannel.open(path));
        } catch (IOException e) {
            throw new TransientFailure("read", Duration.ZERO, path + " cannot be opened", e);
        }
    }

    private final class Bytes extends InputStream {
        private final FileChannel channel;
        private long position = offset;

        Bytes(FileChannel channel) {
            this.channel = channel;
        }

        @Override
        public int read() throws IOException {
            byte[] one = new byte[1];
            return read(one, 0, 1) < 0 ? -1 : one[0] & 0xFF;
        }

        @Override
        public int read(byte[] into, int from, int count) throws IOException {
            lastRead = System.nanoTime();
            long rest = offset + length - position;
            if (rest == 0) {
                return -1;
            }
            int read = channel.read(ByteBuffer.wrap(into, from, (int) Math.min(count, rest)), position);
            if (read > 0) {
                position += read;
            }
            return read;
        }

        @Override
        public void close() throws IOException {
            channel.close();
        }
    }
}
