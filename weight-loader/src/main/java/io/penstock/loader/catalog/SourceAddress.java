package io.penstock.loader.catalog;

import io.penstock.loader.source.FileName;
import io.penstock.model.ErrorCategory;
import io.penstock.model.PenstockException;
import java.nio.file.Path;
import java.util.regex.Matcher;
import java.util.regex.Pattern;

/// Where a model comes from, as the configuration says it in one line.
public sealed interface SourceAddress {
    /// `oci://<namespace>/<bucket>/<prefix>`; the prefix may be empty, or name one object.
    record Oci(String namespace, String bucket, String prefix) implements SourceAddress {}

    /// `hf://<organisation>/<name>`, with `@<revision>` where it is not `main`, and then `/<path>` where
    /// only one file
    /// of the repository is meant, or with a slash at its end one folder. A revision holds no slash,
    /// but for `refs/<kind>/<name>`.
    ///
    /// @param path empty for the whole repository
    record Hub(String repository, String revision, String path) implements SourceAddress {}

    /// `file:///<absolute path>` of a file or a folder.
    record Local(Path path) implements SourceAddress {}

    Pattern OCI = Pattern.compile("oci://([A-Za-z0-9_-]+)/([A-Za-z0-9._-]+)(?:/(.*?))?/*");
    Pattern HUB = Pattern.compile("hf://([A-Za-z0-9][A-Za-z0-9._-]*/[A-Za-z0-9][A-Za-z0-9._-]*)"
            + "(?:@(refs/[A-Za-z0-9._-]+/[A-Za-z0-9._-]+|[A-Za-z0-9._-]+)(?:/([^@]*))?)?");
    String LOCAL = "file://";
    String DEFAULT_REVISION = "main";

    /// @param model for the message
    /// @throws PenstockException BAD_INPUT when it is none of the forms
    static SourceAddress parse(String model, String text) {
        Matcher oci = OCI.matcher(text);
        if (oci.matches()) {
            return new Oci(oci.group(1), oci.group(2), oci.group(3) == null ? "" : oci.group(3));
        }
        Matcher hub = HUB.matcher(text);
        if (hub.matches() && !text.contains("..")) {
            return new Hub(
                    hub.group(1),
                    hub.group(2) == null ? DEFAULT_REVISION : hub.group(2),
                    hub.group(3) == null ? "" : checkedPath(hub.group(3)));
        }
        if (text.startsWith(LOCAL + "/")) {
            return new Local(Path.of(text.substring(LOCAL.length())));
        }
        throw new PenstockException(
                ErrorCategory.BAD_INPUT,
                "model '%s': source '%s' is none of oci://<namespace>/<bucket>/<prefix>, "
                        + "hf://<organisation>/<name>@<revision>/<path>, file:///<path>",
                model,
                text);
    }

    private static String checkedPath(String path) {
        if (!path.isEmpty()) {
            FileName name = new FileName(path.endsWith("/") ? path.substring(0, path.length() - 1) : path);
            return name.value() + (path.endsWith("/") ? "/" : "");
        }
        return path;
    }
}
