package io.penstock.loader.cache;

import java.io.IOException;
import java.nio.ByteBuffer;
import java.nio.channels.FileChannel;
import java.nio.file.NoSuchFileException;
import java.nio.file.Path;
import java.nio.file.StandardOpenOption;
import java.util.BitSet;

/// Which pieces of a file are on disk, with the CRC32C of each: a header, then eight bytes a piece at a
/// fixed place.
///
/// A slot is written after its piece. A killed process loses nothing, because the kernel holds both
/// writes; after a crash of the machine either may be missing, so the header names the boot in which all
/// that is promised was written or read again, and the owner re-reads pieces of an earlier boot. A torn slot does not
/// match its own mark and counts as absent.
final class PieceJournal implements AutoCloseable {
    private static final long MAGIC = 0x504E_5354_4B4A_0001L;
    private static final int HEADER = 64;
    private static final int SLOT = 8;
    private static final int COMPLETE = 1;

    private final FileChannel channel;
    private final long fileSize;
    private final int pieceSize;
    private final int[] sums;
    private final BitSet present = new BitSet();
    private final boolean sameBoot;
    private boolean complete;
    /// The boot in which its promises hold; 0, which is none, before [#begin].
    private long boot;

    private PieceJournal(FileChannel channel, long fileSize, int pieceSize, long bootId) throws IOException {
        this.channel = channel;
        this.fileSize = fileSize;
        this.pieceSize = pieceSize;
        this.sums = new int[Math.toIntExact(Math.ceilDiv(fileSize, pieceSize))];
        this.sameBoot = load(bootId);
    }

    /// Opens it for writing; one of another size or piece is begun anew. [#begin] follows.
    ///
    /// @param bootId of this boot of the machine, 0 for unknown
    static PieceJournal open(Path path, long fileSize, int pieceSize, long bootId) throws IOException {
        FileChannel channel =
                FileChannel.open(path, StandardOpenOption.CREATE, StandardOpenOption.READ, StandardOpenOption.WRITE);
        try {
            PieceJournal journal = new PieceJournal(channel, fileSize, pieceSize, bootId);
            if (journal.present.isEmpty()) {
                channel.truncate(0);
            }
            return journal;
        } catch (IOException | RuntimeException e) {
            channel.close();
            throw e;
        }
    }

    /// Opens it for reading.
    static PieceJournal readOnly(Path path, long fileSize, int pieceSize) throws IOException {
        FileChannel channel = FileChannel.open(path, StandardOpenOption.READ);
        try {
            return new PieceJournal(channel, fileSize, pieceSize, 0);
        } catch (IOException | RuntimeException e) {
            channel.close();
            throw e;
        }
    }

    /// Reads without touching it.
    ///
    /// @return the pieces that it promises; none where there is no such journal
    static BitSet peek(Path path, long fileSize, int pieceSize) throws IOException {
        try (FileChannel channel = FileChannel.open(path, StandardOpenOption.READ)) {
            return new PieceJournal(channel, fileSize, pieceSize, 0).present;
        } catch (NoSuchFileException e) {
            return new BitSet();
        }
    }

    /// @return whether it is there and promises all of the file
    static boolean isComplete(Path path, long fileSize, int pieceSize) throws IOException {
        try (FileChannel channel = FileChannel.open(path, StandardOpenOption.READ)) {
            return new PieceJournal(channel, fileSize, pieceSize, 0).complete;
        } catch (NoSuchFileException e) {
            return false;
        }
    }

    private ByteBuffer header(ByteBuffer header) throws IOException {
        while (header.hasRemaining() && channel.read(header, header.position()) >= 0) {
            // A read may return less than was asked for.
        }
        return header.flip();
    }

    /// @return whether it was written in this boot
    private boolean load(long bootId) throws IOException {
        ByteBuffer header = header(ByteBuffer.allocate(HEADER));
        if (header.limit() < HEADER
                || header.getLong(0) != MAGIC
                || header.getLong(8) != fileSize
                || header.getInt(16) != pieceSize) {
            return false;
        }
        complete = header.getInt(20) == COMPLETE;
        ByteBuffer slots = ByteBuffer.allocate(sums.length * SLOT);
        while (slots.hasRemaining() && channel.read(slots, HEADER + slots.position()) >= 0) {
            // A read may return less than was asked for.
        }
        int written = slots.flip().limit() / SLOT;
        for (int i = 0; i < written; i++) {
            int sum = slots.getInt(i * SLOT);
            if (slots.getInt(i * SLOT + 4) == mark(i, sum)) {
                sums[i] = sum;
                present.set(i);
            }
        }
        complete = complete && present.cardinality() == sums.length;
        return bootId != 0 && header.getLong(24) == bootId;
    }

    private void writeHeader() throws IOException {
        ByteBuffer header = ByteBuffer.allocate(HEADER)
                .putLong(0, MAGIC)
                .putLong(8, fileSize)
                .putInt(16, pieceSize)
                .putInt(20, complete ? COMPLETE : 0)
                .putLong(24, boot);
        write(header, 0);
    }

    private void write(ByteBuffer bytes, long position) throws IOException {
        long at = position;
        while (bytes.hasRemaining()) {
            at += channel.write(bytes, at);
        }
    }

    /// Never zero, so that a hole in the file is no slot.
    private static int mark(int piece, int sum) {
        int mixed = (sum ^ Integer.rotateLeft(piece * 0x9E37_79B1, 13)) * 0x85EB_CA6B;
        return mixed | 1;
    }

    void markPresent(int piece, int sum) throws IOException {
        sums[piece] = sum;
        write(ByteBuffer.allocate(SLOT).putInt(0, sum).putInt(4, mark(piece, sum)), HEADER + (long) piece * SLOT);
        present.set(piece);
    }

    /// From now on what it promises holds in this boot: nothing is left of an earlier one that was not read again.
    ///
    /// @param bootId as of [#open]
    void begin(long bootId) throws IOException {
        boot = bootId;
        writeHeader();
    }

    /// Takes promises back. Durable when it returns: one of them may be for bytes that are wrong.
    void markAbsent(BitSet pieces) throws IOException {
        complete = false;
        present.andNot(pieces);
        for (int piece = pieces.nextSetBit(0); piece >= 0; piece = pieces.nextSetBit(piece + 1)) {
            write(ByteBuffer.allocate(SLOT), HEADER + (long) piece * SLOT);
        }
        writeHeader();
        channel.force(true);
    }

    /// Durable when it returns.
    void markComplete() throws IOException {
        complete = true;
        writeHeader();
        channel.force(true);
    }

    boolean isComplete() {
        return complete;
    }

    /// @return false when a crash of the machine may have taken bytes that this journal promises
    boolean isOfThisBoot() {
        return sameBoot;
    }

    BitSet present() {
        return present;
    }

    int sum(int piece) {
        return sums[piece];
    }

    int pieces() {
        return sums.length;
    }

    @Override
    public void close() throws IOException {
        channel.close();
    }
}
