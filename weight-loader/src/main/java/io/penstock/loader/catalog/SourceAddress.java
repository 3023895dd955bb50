package io.penstock.loader.catalog;

import io.penstock.loader.source.FileName;
import io.penstock.loader.verify.Checksum;
import io.penstock.model.ErrorCategory;
import io.penstock.model.PenstockException;
import java.net.URI;
import java.nio.file.Path;
import java.util.regex.Matcher;
import java.util.regex.Pattern;

/// Where a model comes from, as the configuration says it in one line.
public sealed interface SourceAddress {
    /// `oci://<namespace>/<bucket>/<prefix>`; the prefix may be empty, or name one object.
    record Oci(String namespace, String bucket, String prefix) implements SourceAddress {}

    /// `hf://<organisation>/<name>`, with `@<revision>` where it is not `main`, and then `/<path>`
    /// where only one file of the repository is meant, or with a slash at its end one folder. A
    /// revision holds no slash, but for `refs/<kind>/<name>`.
    ///
    /// @param path empty for the whole repository
    record Hub(String repository, String revision, String path) implements SourceAddress {}

    /// `https://<host>/<path of a pre-authenticated request>`:
    /// `/p/<token>/n/<namespace>/b/<bucket>/o/<prefix>`, where
    /// the
    /// request allows listing.
    ///
    /// @param granted scheme, host and `/p/<token>`
    record Preauthenticated(URI granted, String namespace, String bucket, String prefix) implements SourceAddress {}

    /// `s3://<bucket>/<prefix>`, at the endpoint that the configuration names.
    record S3(String bucket, String prefix) implements SourceAddress {}

    /// `https://<host>/<path of one file>#sha256=<hex>`.
    record Https(URI address, Checksum.Sha256 checksum) implements SourceAddress {}

    /// `file:///<absolute path>` of a file or a folder.
    record Local(Path path) implements SourceAddress {}

    Pattern OCI = Pattern.compile("oci://([A-Za-z0-9_-]+)/([A-Za-z0-9._-]+)(?:/(.*?))?/*");
    Pattern HUB = Pattern.compile("hf://([A-Za-z0-9][A-Za-z0-9._-]*/[A-Za-z0-9][A-Za-z0-9._-]*)"
            + "(?:@(refs/[A-Za-z0-9._-]+/[A-Za-z0-9._-]+|[A-Za-z0-9._-]+)(?:/([^@]*))?)?");
    Pattern PREAUTHENTICATED = Pattern.compile(
            "(https?://[^/@?#]+/p/[A-Za-z0-9_-]+)/n/([A-Za-z0-9_-]+)/b/([A-Za-z0-9._-]+)/o(?:/([^?#]*?))?/*");
    Pattern S3_BUCKET = Pattern.compile("s3://([A-Za-z0-9._-]+)(?:/(.*?))?/*");
    Pattern HTTPS = Pattern.compile("(https?://[^@#\\s]+)#sha256=([0-9a-f]{64})");
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
        Matcher granted = PREAUTHENTICATED.matcher(text);
        if (granted.matches()) {
            String prefix = granted.group(4) == null ? "" : granted.group(4);
            return new Preauthenticated(URI.create(granted.group(1)), granted.group(2), granted.group(3), prefix);
        }
        Matcher s3 = S3_BUCKET.matcher(text);
        if (s3.matches()) {
            return new S3(s3.group(1), s3.group(2) == null ? "" : s3.group(2));
        }
        Matcher https = HTTPS.matcher(text);
        if (https.matches()) {
            return new Https(URI.create(https.group(1)), new Checksum.Sha256(https.group(2)));
        }
        if (text.startsWith(LOCAL + "/")) {
            return new Local(Path.of(text.substring(LOCAL.length())));
        }
        throw new PenstockException(
                ErrorCategory.BAD_INPUT,
                "model '%s': source '%s' is none of oci://<namespace>/<bucket>/<prefix>, "
                        + "s3://<bucket>/<prefix>, hf://<organisation>/<name>@<revision>/<path>, "
                        + "https://<host>/<path>#sha256=<hex>, a pre-authenticated request, file:///<path>",
                model,
                // Such an address is a secret.
                text.replaceAll("/p/[^/]+", "/p/..."));
    }

    private static String checkedPath(String path) {
        if (!path.isEmpty()) {
            FileName name = new FileName(path.endsWith("/") ? path.substring(0, path.length() - 1) : path);
            return name.value() + (path.endsWith("/") ? "/" : "");
        }
        return path;
    }
}
