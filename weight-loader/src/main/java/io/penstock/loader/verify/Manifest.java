package io.penstock.loader.verify;

import io.penstock.model.ErrorCategory;
import io.penstock.model.PenstockException;
import io.vertx.core.json.DecodeException;
import io.vertx.core.json.JsonArray;
import io.vertx.core.json.JsonObject;
import java.io.IOException;
import java.nio.ByteBuffer;
import java.nio.channels.FileChannel;
import java.nio.file.Path;
import java.util.LinkedHashMap;
import java.util.Map;
import java.util.Optional;
import java.util.zip.CRC32C;

/// An optional object beside the files of a checkpoint that holds the CRC32C of every piece of each of
/// them. One that holds their ETags too makes a revision of them: these files, of these versions, and no
/// others that lie there.
///
/// In JSON: `{"version": 1, "pieceSize": n, "files": [{"name": s, "size": n, "pieces": base64, "etag": s}]}`.
///
/// @param files by name
public record Manifest(Map<String, Entry> files) {
    /// Its name, relative to the checkpoint's prefix.
    public static final String NAME = "penstock-manifest.json";

    private static final int VERSION = 1;

    /// @param size in bytes
    /// @param etag of the object, where it was known when this was written
    public record Entry(long size, PieceChecksums pieces, Optional<String> etag) {}

    /// @return whether it says which versions of the files it means
    public boolean isRevision() {
        return files.values().stream().allMatch(entry -> entry.etag().isPresent());
    }

    /// Reads every file once.
    ///
    /// @param files by their name in the checkpoint
    /// @param pieceSize see [PieceChecksums]
    public static Manifest of(Map<String, Path> files, int pieceSize) throws IOException {
        Map<String, Entry> entries = new LinkedHashMap<>();
        for (Map.Entry<String, Path> file : files.entrySet()) {
            entries.put(file.getKey(), entry(file.getValue(), pieceSize));
        }
        return new Manifest(entries);
    }

    private static Entry entry(Path file, int pieceSize) throws IOException {
        ByteBuffer piece = ByteBuffer.allocateDirect(pieceSize);
        try (FileChannel channel = FileChannel.open(file)) {
            long size = channel.size();
            int[] values = new int[Math.toIntExact(Math.ceilDiv(size, pieceSize))];
            for (int i = 0; i < values.length; i++) {
                piece.clear();
                while (piece.hasRemaining() && channel.read(piece) >= 0) {
                    // A read may return less than was asked for.
                }
                CRC32C crc = new CRC32C();
                crc.update(piece.flip());
                values[i] = (int) crc.getValue();
            }
            return new Entry(size, new PieceChecksums(pieceSize, values), Optional.empty());
        }
    }

    /// @throws PenstockException CORRUPT when it is not a manifest
    public static Manifest parse(String json) {
        try {
            JsonObject root = new JsonObject(json);
            if (root.getInteger("version", 0) != VERSION) {
                throw new PenstockException(ErrorCategory.CORRUPT, "%s has version %s", NAME, root.getValue("version"));
            }
            int pieceSize = root.getInteger("pieceSize", 0);
            Map<String, Entry> entries = new LinkedHashMap<>();
            JsonArray files = root.getJsonArray("files", new JsonArray());
            for (int i = 0; i < files.size(); i++) {
                JsonObject file = files.getJsonObject(i);
                long size = file.getLong("size", -1L);
                PieceChecksums pieces = PieceChecksums.decode(pieceSize, file.getString("pieces", ""), size);
                entries.put(
                        file.getString("name", ""),
                        new Entry(size, pieces, Optional.ofNullable(file.getString("etag"))));
            }
            return new Manifest(entries);
        } catch (DecodeException | ClassCastException e) {
            throw new PenstockException(ErrorCategory.CORRUPT, e, "%s is malformed: %s", NAME, e.getMessage());
        }
    }

    public String toJson() {
        JsonArray array = new JsonArray();
        int pieceSize = PieceChecksums.MIN_PIECE;
        for (Map.Entry<String, Entry> file : files.entrySet()) {
            Entry entry = file.getValue();
            pieceSize = entry.pieces().pieceSize();
            JsonObject described = new JsonObject()
                    .put("name", file.getKey())
                    .put("size", entry.size())
                    .put("pieces", entry.pieces().encode());
            entry.etag().ifPresent(etag -> described.put("etag", etag));
            array.add(described);
        }
        return new JsonObject()
                .put("version", VERSION)
                .put("pieceSize", pieceSize)
                .put("files", array)
                .encode();
    }
}
