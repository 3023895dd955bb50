package io.penstock.loader.push;

import io.penstock.loader.source.FileName;
import io.penstock.loader.source.RemoteHttp;
import io.penstock.loader.verify.Manifest;
import io.penstock.model.ErrorCategory;
import io.penstock.model.PenstockException;
import java.io.IOException;
import java.io.UncheckedIOException;
import java.nio.file.Files;
import java.nio.file.Path;
import java.nio.file.attribute.BasicFileAttributes;
import java.nio.file.attribute.FileTime;
import java.util.ArrayList;
import java.util.Comparator;
import java.util.List;
import java.util.stream.Stream;

/// A file of a folder that is pushed, as it was when the push began.
///
/// @param name within the folder
/// @param path where its bytes are, links resolved
record LocalFile(FileName name, Path path, long size, FileTime modified) {
    private static final int MAX_FILES = 10_000;
    private static final int MAX_DEPTH = 8;

    /// The files of a folder, by name. Names that begin with a dot are left out, and a manifest, which is made anew.
    ///
    /// @param root neither the folder nor a link in it may lead out of this
    /// @throws PenstockException BAD_INPUT when one does, NOT_FOUND when there is nothing
    static List<LocalFile> of(Path folder, Path root) {
        try {
            if (!Files.isDirectory(folder)) {
                throw new PenstockException(ErrorCategory.NOT_FOUND, "%s is no folder on the loader's node", folder);
            }
            Path allowed = root.toRealPath();
            Path real = folder.toRealPath();
            checkWithin(allowed, real, folder);
            List<LocalFile> files = new ArrayList<>();
            try (Stream<Path> paths = Files.walk(real, MAX_DEPTH)) {
                for (Path found : (Iterable<Path>) paths::iterator) {
                    String name = real.relativize(found).toString();
                    boolean hidden = name.startsWith(".") || name.contains("/.");
                    if (!hidden && !name.equals(Manifest.NAME) && Files.isRegularFile(found)) {
                        Path file = found.toRealPath();
                        checkWithin(allowed, file, found);
                        files.add(of(new FileName(name), file));
                    }
                }
            }
            if (files.isEmpty() || files.size() > MAX_FILES) {
                throw new PenstockException(
                        ErrorCategory.NOT_FOUND, "%s holds %d files, of 1 to %d", folder, files.size(), MAX_FILES);
            }
            return files.stream().sorted(Comparator.comparing(LocalFile::name)).toList();
        } catch (IOException | UncheckedIOException e) {
            throw unreadable(folder, e);
        }
    }

    private static void checkWithin(Path allowed, Path real, Path named) {
        if (!real.startsWith(allowed)) {
            throw new PenstockException(
                    ErrorCategory.BAD_INPUT,
                    "%s is not below %s, which penstock.loader.push.folder allows",
                    named,
                    allowed);
        }
    }

    private static LocalFile of(FileName name, Path path) throws IOException {
        BasicFileAttributes attributes = Files.readAttributes(path, BasicFileAttributes.class);
        return new LocalFile(name, path, attributes.size(), attributes.lastModifiedTime());
    }

    /// @throws PenstockException CORRUPT when it is no longer what it was
    void checkUnchanged() {
        try {
            LocalFile now = of(name, path);
            if (!now.equals(this)) {
                throw new PenstockException(
                        ErrorCategory.CORRUPT,
                        "%s changed while it was pushed: %d bytes of %s, now %d of %s",
                        path,
                        size,
                        modified,
                        now.size,
                        now.modified);
            }
        } catch (IOException e) {
            throw unreadable(path, e);
        }
    }

    static PenstockException unreadable(Path path, Exception failure) {
        return new PenstockException(
                ErrorCategory.UNAVAILABLE, failure, "%s cannot be read: %s", path, RemoteHttp.describe(failure));
    }
}
