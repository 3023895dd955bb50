package io.penstock.loader.cache;

import io.penstock.loader.source.FileName;
import io.penstock.loader.source.RemoteFile;
import io.penstock.loader.source.Snapshot;
import io.penstock.loader.verify.Checksum;
import io.penstock.loader.verify.PieceChecksums;
import io.penstock.model.ErrorCategory;
import io.penstock.model.PenstockException;
import io.vertx.core.json.DecodeException;
import io.vertx.core.json.JsonArray;
import io.vertx.core.json.JsonObject;
import java.io.IOException;
import java.nio.ByteBuffer;
import java.nio.channels.FileChannel;
import java.nio.charset.StandardCharsets;
import java.nio.file.Files;
import java.nio.file.NoSuchFileException;
import java.nio.file.Path;
import java.nio.file.StandardCopyOption;
import java.nio.file.StandardOpenOption;
import java.nio.file.attribute.FileTime;
import java.time.Instant;
import java.util.ArrayList;
import java.util.Comparator;
import java.util.List;
import java.util.Optional;
import java.util.UUID;
import java.util.stream.Stream;

/// Snapshots as files beside the bytes, so that a pinned revision outlives the process and a source that is
/// away.
public final class SnapshotStore {
    private static final String NAME = "snapshot.json";
    private static final String USED = "used";
    private static final String PINNED = "pinned";

    private final CacheDirectory cache;

    public SnapshotStore(CacheDirectory cache) {
        this.cache = cache;
    }

    public boolean isReadOnly() {
        return cache.isReadOnly();
    }

    /// Saves it, or marks it as the newest one where it is there already.
    public void save(Snapshot snapshot) {
        if (cache.isReadOnly()) {
            return;
        }
        Path folder = cache.revisionFolder(snapshot.model(), snapshot.revision());
        Path target = folder.resolve(NAME);
        try {
            Files.createDirectories(folder);
            Path fresh = folder.resolve("." + UUID.randomUUID() + ".new");
            try (FileChannel channel =
                    FileChannel.open(fresh, StandardOpenOption.CREATE_NEW, StandardOpenOption.WRITE)) {
                ByteBuffer bytes = ByteBuffer.wrap(encode(snapshot).getBytes(StandardCharsets.UTF_8));
                while (bytes.hasRemaining()) {
                    channel.write(bytes);
                }
                channel.force(true);
            }
            Files.setLastModifiedTime(fresh, afterAllOthers(snapshot.model()));
            Files.move(fresh, target, StandardCopyOption.ATOMIC_MOVE, StandardCopyOption.REPLACE_EXISTING);
            CacheDirectory.syncUpTo(cache.root(), folder);
        } catch (IOException e) {
            throw CacheDirectory.failure(target, e);
        }
    }

    /// Notes that it is used now, and that it is here where it was evicted meanwhile.
    public void use(Snapshot snapshot) {
        if (cache.isReadOnly()) {
            return;
        }
        Path folder = cache.revisionFolder(snapshot.model(), snapshot.revision());
        if (!Files.exists(folder.resolve(NAME))) {
            save(snapshot);
        }
        mark(folder.resolve(USED));
    }

    private static void mark(Path file) {
        try {
            Files.write(file, new byte[0]);
            Files.setLastModifiedTime(file, FileTime.from(Instant.now()));
        } catch (IOException e) {
            throw CacheDirectory.failure(file, e);
        }
    }

    /// @return the epoch where it never was
    public Instant lastUsed(Snapshot snapshot) {
        Path file = cache.revisionFolder(snapshot.model(), snapshot.revision()).resolve(USED);
        try {
            return Files.getLastModifiedTime(file).toInstant();
        } catch (NoSuchFileException e) {
            return Instant.EPOCH;
        } catch (IOException e) {
            throw CacheDirectory.failure(file, e);
        }
    }

    public boolean isPinned(Snapshot snapshot) {
        return Files.exists(
                cache.revisionFolder(snapshot.model(), snapshot.revision()).resolve(PINNED));
    }

    /// Keeps it from being evicted, or lets it go again. Durable when it returns.
    public void pin(Snapshot snapshot, boolean pinned) {
        Path file = cache.revisionFolder(snapshot.model(), snapshot.revision()).resolve(PINNED);
        try {
            if (pinned) {
                mark(file);
                CacheDirectory.syncUpTo(cache.root(), file.getParent());
            } else if (Files.deleteIfExists(file)) {
                CacheDirectory.sync(file.getParent());
            }
        } catch (IOException e) {
            throw CacheDirectory.failure(file, e);
        }
    }

    public Optional<Snapshot> load(String model, String revision) {
        Path file = cache.revisionFolder(model, revision).resolve(NAME);
        try {
            return Optional.of(decode(Files.readString(file)));
        } catch (NoSuchFileException e) {
            return Optional.empty();
        } catch (IOException e) {
            throw CacheDirectory.failure(file, e);
        } catch (DecodeException | ClassCastException e) {
            throw new PenstockException(ErrorCategory.CORRUPT, e, "%s is malformed; remove it", file);
        }
    }

    /// @return the one that was saved last
    public Optional<Snapshot> newest(String model) {
        Path folder = cache.modelFolder(model);
        if (!Files.isDirectory(folder)) {
            return Optional.empty();
        }
        return revisions(folder).stream()
                .max(Comparator.comparing(SnapshotStore::saved))
                .flatMap(revision -> load(model, revision.getFileName().toString()));
    }

    /// @return every snapshot in the cache
    public List<Snapshot> all() {
        List<Snapshot> snapshots = new ArrayList<>();
        for (Path model : folders(cache.root().resolve("models"))) {
            String name = model.getFileName().toString().replace("--", "/");
            for (Path revision : revisions(model)) {
                load(name, revision.getFileName().toString()).ifPresent(snapshots::add);
            }
        }
        return snapshots;
    }

    /// Takes over what another store knows and this one does not, in the order in which it came there.
    public void adopt(SnapshotStore other) {
        other.all().stream()
                .filter(snapshot -> load(snapshot.model(), snapshot.revision()).isEmpty())
                .sorted(Comparator.comparing(
                        snapshot -> saved(other.cache.revisionFolder(snapshot.model(), snapshot.revision()))))
                .forEach(this::save);
    }

    private static List<Path> revisions(Path model) {
        return folders(model).stream()
                .filter(folder -> Files.exists(folder.resolve(NAME)))
                .toList();
    }

    private static List<Path> folders(Path folder) {
        try (Stream<Path> folders = Files.list(folder)) {
            return folders.filter(Files::isDirectory).sorted().toList();
        } catch (IOException e) {
            throw CacheDirectory.failure(folder, e);
        }
    }

    /// Now, or just past the newest of the model's where the clock stands still or was set back.
    private FileTime afterAllOthers(String model) {
        Instant now = Instant.now();
        return revisions(cache.modelFolder(model)).stream()
                .map(revision -> saved(revision).toInstant().plusMillis(1))
                .filter(now::isBefore)
                .max(Comparator.naturalOrder())
                .map(FileTime::from)
                .orElse(FileTime.from(now));
    }

    private static FileTime saved(Path revision) {
        try {
            return Files.getLastModifiedTime(revision.resolve(NAME));
        } catch (IOException e) {
            throw CacheDirectory.failure(revision, e);
        }
    }

    private static String encode(Snapshot snapshot) {
        JsonArray files = new JsonArray();
        for (RemoteFile file : snapshot.files()) {
            JsonObject entry = new JsonObject()
                    .put("name", file.name().value())
                    .put("size", file.size())
                    .put("contentId", file.contentId());
            file.etag().ifPresent(etag -> entry.put("etag", etag));
            file.checksum().ifPresent(checksum -> entry.put("checksum", checksum.text()));
            file.pieces()
                    .ifPresent(
                            pieces -> entry.put("pieceSize", pieces.pieceSize()).put("pieces", pieces.encode()));
            files.add(entry);
        }
        return new JsonObject()
                .put("model", snapshot.model())
                .put("revision", snapshot.revision())
                .put("files", files)
                .encodePrettily();
    }

    private static Snapshot decode(String json) {
        JsonObject root = new JsonObject(json);
        JsonArray entries = root.getJsonArray("files");
        List<RemoteFile> files = new ArrayList<>();
        for (int i = 0; i < entries.size(); i++) {
            JsonObject entry = entries.getJsonObject(i);
            long size = entry.getLong("size");
            files.add(new RemoteFile(
                    new FileName(entry.getString("name")),
                    size,
                    entry.getString("contentId"),
                    Optional.ofNullable(entry.getString("etag")),
                    Optional.ofNullable(entry.getString("checksum")).map(Checksum::parse),
                    Optional.ofNullable(entry.getString("pieces"))
                            .map(pieces -> PieceChecksums.decode(entry.getInteger("pieceSize"), pieces, size))));
        }
        return new Snapshot(root.getString("model"), root.getString("revision"), files);
    }
}
