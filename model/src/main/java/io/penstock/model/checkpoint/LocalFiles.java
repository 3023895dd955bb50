package io.penstock.model.checkpoint;

import io.penstock.model.ErrorCategory;
import io.penstock.model.PenstockException;
import java.io.IOException;
import java.lang.foreign.Arena;
import java.lang.foreign.MemorySegment;
import java.nio.channels.FileChannel;
import java.nio.channels.FileChannel.MapMode;
import java.nio.file.Files;
import java.nio.file.Path;
import java.nio.file.StandardOpenOption;
import java.util.Collections;
import java.util.Map;
import java.util.Set;
import java.util.TreeMap;
import java.util.stream.Stream;

/// A checkpoint on this machine: the files of a folder (not of folders in it), or one file alone. Heads are mapped, not
/// read, and gone once this is closed.
public final class LocalFiles implements CheckpointFiles, AutoCloseable {
    private final Map<String, Path> paths;
    private final Arena arena = Arena.ofShared();

    private LocalFiles(Map<String, Path> paths) {
        this.paths = paths;
    }

    /// @param path a folder, or one file
    /// @throws PenstockException (not found) if it is neither
    public static LocalFiles at(Path path) {
        Map<String, Path> paths = new TreeMap<>();
        if (Files.isDirectory(path)) {
            try (Stream<Path> entries = Files.list(path)) {
                // Links are followed: a Hugging Face cache is a folder of links, and whoever named it trusts it.
                entries.filter(Files::isRegularFile)
                        .forEach(file -> paths.put(String.valueOf(file.getFileName()), file));
            } catch (IOException e) {
                throw new PenstockException(ErrorCategory.NOT_FOUND, e, "%s cannot be listed: %s", path, e);
            }
        } else if (Files.isRegularFile(path)) {
            paths.put(String.valueOf(path.getFileName()), path);
        } else {
            throw new PenstockException(ErrorCategory.NOT_FOUND, "%s is neither a file nor a folder", path);
        }
        return new LocalFiles(paths);
    }

    @Override
    public Set<String> names() {
        return Collections.unmodifiableSet(paths.keySet());
    }

    @Override
    public long size(String name) {
        Path path = path(name);
        try {
            return Files.size(path);
        } catch (IOException e) {
            throw new PenstockException(ErrorCategory.NOT_FOUND, e, "%s cannot be read: %s", path, e);
        }
    }

    @Override
    public MemorySegment head(String name, long atLeast) {
        Path path = path(name);
        try (FileChannel channel = FileChannel.open(path, StandardOpenOption.READ)) {
            return channel.map(MapMode.READ_ONLY, 0, Math.min(atLeast, channel.size()), arena);
        } catch (IOException e) {
            throw new PenstockException(ErrorCategory.NOT_FOUND, e, "%s cannot be mapped: %s", path, e);
        }
    }

    /// @param name one of [#names()]
    /// @return where it lies
    public Path path(String name) {
        Path path = paths.get(name);
        if (path == null) {
            throw new PenstockException(ErrorCategory.NOT_FOUND, "no file %s among %s", name, paths.keySet());
        }
        return path;
    }

    /// Every file by its name, as [TensorLocation#file] spells it.
    public Map<String, Path> paths() {
        return Collections.unmodifiableMap(paths);
    }

    @Override
    public void close() {
        arena.close();
    }
}
