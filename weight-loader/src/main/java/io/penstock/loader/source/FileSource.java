package io.penstock.loader.source;

import io.penstock.model.ErrorCategory;
import io.penstock.model.PenstockException;
import java.io.IOException;
import java.io.UncheckedIOException;
import java.nio.file.Files;
import java.nio.file.Path;
import java.nio.file.attribute.BasicFileAttributes;
import java.util.ArrayList;
import java.util.List;
import java.util.Optional;
import java.util.stream.Stream;

/// A file or a folder on this node, used in place.
///
/// Links to files are followed (a hub's cache is made of them): whoever configures the folder answers
/// for what is in it. Names that begin with a dot are left out. The revision is a digest over names,
/// sizes and times of modification.
public final class FileSource implements Source {
    private static final int MAX_DEPTH = 8;

    private final Path path;

    public FileSource(Path path) {
        this.path = path.toAbsolutePath().normalize();
    }

    @Override
    public String kind() {
        return "file";
    }

    @Override
    public boolean isCached() {
        return false;
    }

    @Override
    public Snapshot resolve(String model, String revision) {
        List<RemoteFile> files = files(model);
        return Snapshot.of(model, files, revision, path);
    }

    private List<RemoteFile> files(String model) {
        if (Files.isRegularFile(path)) {
            return List.of(file(path, path.getFileName().toString()));
        }
        if (!Files.isDirectory(path)) {
            throw new PenstockException(
                    ErrorCategory.NOT_FOUND, "model '%s': %s is neither a file nor a folder", model, path);
        }
        List<RemoteFile> files = new ArrayList<>();
        try (Stream<Path> paths = Files.walk(path, MAX_DEPTH)) {
            for (Path found : (Iterable<Path>) paths::iterator) {
                String name = path.relativize(found).toString();
                if (!name.startsWith(".") && !name.contains("/.") && Files.isRegularFile(found)) {
                    files.add(file(found, name));
                }
            }
        } catch (IOException | UncheckedIOException e) {
            throw unreadable(path, e);
        }
        return files;
    }

    private static RemoteFile file(Path path, String name) {
        try {
            BasicFileAttributes attributes = Files.readAttributes(path, BasicFileAttributes.class);
            String contentId = path + "#" + attributes.size() + "@" + attributes.lastModifiedTime();
            return new RemoteFile(
                    new FileName(name),
                    attributes.size(),
                    contentId,
                    Optional.empty(),
                    Optional.empty(),
                    Optional.empty());
        } catch (IOException e) {
            throw unreadable(path, e);
        }
    }

    private static PenstockException unreadable(Path path, Exception failure) {
        return new PenstockException(
                ErrorCategory.UNAVAILABLE, failure, "%s cannot be read: %s", path, RemoteHttp.describe(failure));
    }

    @Override
    public Access access(Snapshot snapshot, RemoteFile file) {
        return new Access.OnNode(
                Files.isDirectory(path) ? path.resolve(file.name().value()) : path);
    }
}
