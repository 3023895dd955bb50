package io.penstock.loader.source;

import io.penstock.loader.verify.Checksum;
import io.penstock.model.ErrorCategory;
import io.penstock.model.PenstockException;
import java.io.ByteArrayInputStream;
import java.lang.System.Logger;
import java.lang.System.Logger.Level;
import java.net.URLEncoder;
import java.net.http.HttpHeaders;
import java.nio.charset.StandardCharsets;
import java.util.ArrayList;
import java.util.List;
import java.util.Optional;
import java.util.function.Supplier;
import javax.xml.stream.XMLInputFactory;
import javax.xml.stream.XMLStreamConstants;
import javax.xml.stream.XMLStreamException;
import javax.xml.stream.XMLStreamReader;

/// Objects of a bucket under a prefix, by the API of S3: OCI's compatible endpoint, or any other service
/// that speaks
/// it.
/// Paths name buckets (host names that do are not what OCI likes).
///
/// ETags pin objects. A checksum of the whole is known where the upload asked for CRC32C over it.
public final class S3Source implements Source {
    private static final Logger LOG = System.getLogger(S3Source.class.getName());
    private static final int MAX_PAGES = 20;

    private final RemoteHttp http;
    private final Supplier<S3Account> account;
    private final String bucketTarget;
    private final String place;
    private final String prefix;
    private volatile boolean knowsChecksums = true;

    /// @param account asked for at first use
    /// @param prefix without a slash at its end; empty for the whole bucket
    public S3Source(RemoteHttp http, Supplier<S3Account> account, String bucket, String prefix) {
        this.http = http;
        this.account = account;
        this.bucketTarget = "/" + encode(bucket);
        this.place = "s3://" + bucket;
        this.prefix = prefix;
    }

    @Override
    public String kind() {
        return "s3";
    }

    @Override
    public Snapshot resolve(String model, String revision) {
        List<RemoteFile> files = new ArrayList<>();
        for (String object : list()) {
            name(object).ifPresent(name -> files.add(head(name, object)));
        }
        Snapshot snapshot = new Snapshot(model, Snapshot.digest(files), files);
        if (!revision.isEmpty() && !revision.equals(snapshot.revision())) {
            throw new PenstockException(
                    ErrorCategory.NOT_FOUND,
                    "model '%s': %s now holds revision %s, not %s",
                    model,
                    place,
                    snapshot.revision(),
                    revision);
        }
        return snapshot;
    }

    /// Empty for what only shares the beginning of the name, and for consoles' folder marks.
    private Optional<FileName> name(String object) {
        String folder = prefix.isEmpty() ? "" : prefix + "/";
        if (object.equals(prefix)) {
            return Optional.of(new FileName(object.substring(object.lastIndexOf('/') + 1)));
        }
        return object.startsWith(folder) && !object.endsWith("/")
                ? Optional.of(new FileName(object.substring(folder.length())))
                : Optional.empty();
    }

    private List<String> list() {
        List<String> objects = new ArrayList<>();
        Optional<String> next = Optional.empty();
        for (int page = 0; page < MAX_PAGES; page++) {
            String target = bucketTarget + "?"
                    + next.map(token -> "continuation-token=" + encode(token) + "&")
                            .orElse("")
                    + "list-type=2&prefix=" + encode(prefix);
            byte[] body = http.call("list " + place, () -> account.get().signed("GET", target))
                    .body();
            next = read(body, objects);
            if (next.isEmpty()) {
                return objects;
            }
        }
        throw new PenstockException(
                ErrorCategory.BAD_INPUT, "%s holds over %d pages of objects below '%s'", place, MAX_PAGES, prefix);
    }

    /// @return the token of the next page
    private Optional<String> read(byte[] xml, List<String> objects) {
        XMLInputFactory factory = XMLInputFactory.newDefaultFactory();
        factory.setProperty(XMLInputFactory.SUPPORT_DTD, false);
        factory.setProperty(XMLInputFactory.IS_SUPPORTING_EXTERNAL_ENTITIES, false);
        try {
            XMLStreamReader reader = factory.createXMLStreamReader(new ByteArrayInputStream(xml));
            Optional<String> next = Optional.empty();
            while (reader.hasNext()) {
                if (reader.next() == XMLStreamConstants.START_ELEMENT) {
                    switch (reader.getLocalName()) {
                        case "Key" -> objects.add(reader.getElementText());
                        case "NextContinuationToken" -> next = Optional.of(reader.getElementText());
                        default -> {}
                    }
                }
            }
            return next;
        } catch (XMLStreamException e) {
            throw new PenstockException(
                    ErrorCategory.CORRUPT, e, "%s answered with no listing: %s", place, e.getMessage());
        }
    }

    private RemoteFile head(FileName name, String object) {
        String what = place + "/" + object;
        HttpHeaders headers = headers(what, target(object));
        String etag = headers.firstValue("etag").orElseThrow(() -> missing(what, "ETag"));
        long size = headers.firstValueAsLong("content-length").orElseThrow(() -> missing(what, "Content-Length"));
        return new RemoteFile(
                name,
                size,
                what + "#" + etag,
                Optional.of(etag),
                // One with a dash is over the checksums of parts, whose borders are not known here.
                headers.firstValue("x-amz-checksum-crc32c")
                        .filter(sum -> !sum.contains("-"))
                        .map(Checksum::crc32c),
                Optional.empty());
    }

    private HttpHeaders headers(String what, String target) {
        if (knowsChecksums) {
            try {
                return http.call(what, () -> account.get().signed("HEAD", target, "x-amz-checksum-mode", "ENABLED"))
                        .headers();
            } catch (PenstockException e) {
                if (e.category() != ErrorCategory.UNAVAILABLE) {
                    throw e;
                }
                LOG.log(Level.DEBUG, "{0} may not know of checksums: {1}", place, e.getMessage());
            }
        }
        HttpHeaders headers =
                http.call(what, () -> account.get().signed("HEAD", target)).headers();
        // Older servers answer 501 to a header that they do not know.
        knowsChecksums = false;
        return headers;
    }

    private static PenstockException missing(String what, String header) {
        return new PenstockException(ErrorCategory.CORRUPT, "%s: the answer has no %s", what, header);
    }

    @Override
    public Access access(Snapshot snapshot, RemoteFile file) {
        String etag = file.etag().orElseThrow();
        String id = file.contentId();
        String target = target(id.substring(place.length() + 1, id.length() - etag.length() - 1));
        return new Access.OverHttp((offset, length) -> account.get()
                .signed("GET", target, "range", "bytes=" + offset + "-" + (offset + length - 1), "if-match", etag));
    }

    private String target(String object) {
        StringBuilder target = new StringBuilder(bucketTarget);
        for (String segment : object.split("/", -1)) {
            target.append('/').append(encode(segment));
        }
        return target.toString();
    }

    private static String encode(String text) {
        return URLEncoder.encode(text, StandardCharsets.UTF_8)
                .replace("+", "%20")
                .replace("*", "%2A");
    }
}
