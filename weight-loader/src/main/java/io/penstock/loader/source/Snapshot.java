package io.penstock.loader.source;

import io.penstock.model.ErrorCategory;
import io.penstock.model.PenstockException;
import java.nio.charset.StandardCharsets;
import java.security.MessageDigest;
import java.security.NoSuchAlgorithmException;
import java.util.Comparator;
import java.util.HashSet;
import java.util.HexFormat;
import java.util.List;
import java.util.Set;

/// The files of one revision of a model, resolved once.
///
/// @param model as the configuration names it
/// @param revision a commit, or [#digest] of the files
/// @param files by name, ascending, each name once
public record Snapshot(String model, String revision, List<RemoteFile> files) {
    private static final int MAX_FILES = 10_000;
    private static final int DIGEST_DIGITS = 40;

    public Snapshot {
        if (!revision.matches("[A-Za-z0-9][A-Za-z0-9._-]{0,127}")) {
            throw new PenstockException(
                    ErrorCategory.BAD_INPUT, "'%s' is not a revision: letters, digits, '.', '_', '-'", revision);
        }
        if (files.isEmpty()) {
            throw new PenstockException(ErrorCategory.NOT_FOUND, "model '%s': its source holds no files", model);
        }
        if (files.size() > MAX_FILES) {
            throw new PenstockException(
                    ErrorCategory.BAD_INPUT, "model '%s' has %d files, of %d", model, files.size(), MAX_FILES);
        }
        files = files.stream().sorted(Comparator.comparing(RemoteFile::name)).toList();
        Set<FileName> names = new HashSet<>();
        for (RemoteFile file : files) {
            if (!names.add(file.name())) {
                throw new PenstockException(ErrorCategory.CORRUPT, "model '%s' has %s twice", model, file.name());
            }
        }
    }

    /// The files of a source that has no revisions of its own.
    ///
    /// @param asked the revision that is wanted; empty for whatever there is
    /// @param place for the message
    /// @throws PenstockException NOT_FOUND when another revision is there
    static Snapshot of(String model, List<RemoteFile> files, String asked, Object place) {
        Snapshot snapshot = new Snapshot(model, digest(files), files);
        if (!asked.isEmpty() && !asked.equals(snapshot.revision())) {
            throw new PenstockException(
                    ErrorCategory.NOT_FOUND,
                    "model '%s': %s now holds revision %s, not %s",
                    model,
                    place,
                    snapshot.revision(),
                    asked);
        }
        return snapshot;
    }

    /// @throws PenstockException NOT_FOUND when the revision has no such file
    public RemoteFile file(FileName name) {
        for (RemoteFile file : files) {
            if (file.name().equals(name)) {
                return file;
            }
        }
        throw new PenstockException(
                ErrorCategory.NOT_FOUND, "model '%s' has no file '%s' in revision %s", model, name, revision);
    }

    /// A revision for a source that has none of its own: changes when any file does.
    static String digest(List<RemoteFile> files) {
        MessageDigest digest = sha256();
        files.stream()
                .sorted(Comparator.comparing(RemoteFile::name))
                .forEach(file -> digest.update((file.name() + "\0" + file.size() + "\0" + file.contentId() + "\n")
                        .getBytes(StandardCharsets.UTF_8)));
        return HexFormat.of().formatHex(digest.digest()).substring(0, DIGEST_DIGITS);
    }

    static MessageDigest sha256() {
        try {
            return MessageDigest.getInstance("SHA-256");
        } catch (NoSuchAlgorithmException e) {
            throw new IllegalStateException("every Java platform has SHA-256", e);
        }
    }
}
