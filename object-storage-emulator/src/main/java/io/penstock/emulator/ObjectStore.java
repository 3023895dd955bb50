package io.penstock.emulator;

import io.vertx.core.json.JsonObject;
import java.io.IOException;
import java.io.UncheckedIOException;
import java.nio.charset.StandardCharsets;
import java.nio.file.Files;
import java.nio.file.Path;
import java.nio.file.StandardCopyOption;
import java.security.MessageDigest;
import java.security.NoSuchAlgorithmException;
import java.util.HexFormat;
import java.util.Map;
import java.util.NavigableMap;
import java.util.UUID;
import java.util.concurrent.ConcurrentHashMap;
import java.util.concurrent.ConcurrentSkipListMap;
import java.util.stream.Stream;

/// Buckets and objects as files: `<bucket>/<id>` holds the bytes of a version, `<bucket>/<hash of the
/// name>.json` says which version an object's name stands for. Names of objects never become paths, so
/// any name is safe.
///
/// A replaced version's file is deleted; a response that is being sent holds it open and so ends
/// undisturbed.
final class ObjectStore {
    private final Path root;
    private final Map<String, NavigableMap<String, StoredObject>> buckets = new ConcurrentHashMap<>();

    ObjectStore(Path root) throws IOException {
        this.root = Files.createDirectories(root.toAbsolutePath());
        try (Stream<Path> folders = Files.list(this.root)) {
            for (Path folder : folders.filter(Files::isDirectory).toList()) {
                buckets.put(folder.getFileName().toString(), load(folder));
            }
        }
    }

    private static NavigableMap<String, StoredObject> load(Path folder) throws IOException {
        NavigableMap<String, StoredObject> objects = new ConcurrentSkipListMap<>();
        try (Stream<Path> files = Files.list(folder)) {
            for (Path file :
                    files.filter(path -> path.toString().endsWith(".json")).toList()) {
                StoredObject object = StoredObject.fromJson(new JsonObject(Files.readString(file)), folder);
                objects.put(object.name(), object);
            }
        }
        return objects;
    }

    /// @return false when it was there already
    boolean createBucket(String bucket) {
        if (!bucket.matches("[A-Za-z0-9_-][A-Za-z0-9._-]{0,255}")) {
            throw new ServiceException(400, "InvalidBucketName", "'" + bucket + "' is not a bucket name");
        }
        try {
            Files.createDirectories(root.resolve(bucket));
        } catch (IOException e) {
            throw new UncheckedIOException(e);
        }
        return buckets.putIfAbsent(bucket, new ConcurrentSkipListMap<>()) == null;
    }

    /// @return objects by name, live
    NavigableMap<String, StoredObject> bucket(String bucket) {
        NavigableMap<String, StoredObject> objects = buckets.get(bucket);
        if (objects == null) {
            throw ServiceException.noBucket(bucket);
        }
        return objects;
    }

    StoredObject object(String bucket, String name) {
        StoredObject object = bucket(bucket).get(name);
        if (object == null) {
            throw ServiceException.noObject(bucket, name);
        }
        return object;
    }

    /// @return a new, unused file name in the bucket's folder for bytes to come
    Path newContent(String bucket) {
        bucket(bucket);
        return root.resolve(bucket).resolve(UUID.randomUUID().toString());
    }

    /// Makes the object's name stand for this version.
    void put(String bucket, StoredObject object) {
        NavigableMap<String, StoredObject> objects = bucket(bucket);
        try {
            Path index = index(bucket, object.name());
            Path fresh = index.resolveSibling(UUID.randomUUID() + ".new");
            Files.writeString(fresh, object.toJson().encode());
            Files.move(fresh, index, StandardCopyOption.ATOMIC_MOVE, StandardCopyOption.REPLACE_EXISTING);
            StoredObject old = objects.put(object.name(), object);
            if (old != null) {
                Files.deleteIfExists(old.content());
            }
        } catch (IOException e) {
            throw new UncheckedIOException(e);
        }
    }

    void delete(String bucket, String name) {
        StoredObject object = object(bucket, name);
        try {
            Files.deleteIfExists(index(bucket, name));
            bucket(bucket).remove(name);
            Files.deleteIfExists(object.content());
        } catch (IOException e) {
            throw new UncheckedIOException(e);
        }
    }

    private Path index(String bucket, String name) {
        try {
            byte[] digest = MessageDigest.getInstance("SHA-256").digest(name.getBytes(StandardCharsets.UTF_8));
            return root.resolve(bucket).resolve(HexFormat.of().formatHex(digest) + ".json");
        } catch (NoSuchAlgorithmException e) {
            throw new IllegalStateException("every Java platform has SHA-256", e);
        }
    }
}
