package io.penstock.cli.cluster;

import io.penstock.api.weights.ModelFile;
import io.penstock.api.weights.ModelFiles;
import io.penstock.cli.CommandFailure;
import java.util.Optional;
import java.util.regex.Matcher;
import java.util.regex.Pattern;

/// A model that the weight-loader fetches from a hub.
///
/// @param source `hf://<organisation>/<name>`, as the weight-loader takes it
/// @param sha256 in hexadecimal, of the one file that is the model; empty where any bytes will do
///     that the hub vouches for
public record RemoteModel(String source, Optional<String> sha256) {
    private static final Pattern PINNED = Pattern.compile("(hf://[^#]+/[^#/]+)#sha256=([0-9a-f]{64})");

    /// @param text a source, with `#sha256=<hexadecimal>` behind it where it is pinned
    public static RemoteModel parse(String text) {
        Matcher pinned = PINNED.matcher(text);
        if (pinned.matches()) {
            return new RemoteModel(pinned.group(1), Optional.of(pinned.group(2)));
        }
        if (text.contains("#")) {
            throw new CommandFailure(
                    "%s: what follows the # must be sha256=<64 hexadecimal digits>, of the one file that is named",
                    text);
        }
        return new RemoteModel(text, Optional.empty());
    }

    /// @param files that the hub has under that name; the weight-loader gives out no bytes that
    ///     differ from their checksums
    /// @throws CommandFailure if they are not the ones that are meant
    void check(ModelFiles files) {
        if (sha256.isEmpty()) {
            return;
        }
        String wanted = "sha256:" + sha256.get();
        if (files.getFilesCount() != 1) {
            throw new CommandFailure("%s: %d files, one was expected", source, files.getFilesCount());
        }
        ModelFile file = files.getFiles(0);
        if (!file.getChecksum().equals(wanted)) {
            throw new CommandFailure(
                    "%s: the hub's file has %s, expected %s: it was changed. Nothing was fetched; --model takes another",
                    source, file.getChecksum().isEmpty() ? "no sha256" : file.getChecksum(), wanted);
        }
    }
}
