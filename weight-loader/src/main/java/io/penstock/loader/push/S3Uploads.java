package io.penstock.loader.push;

import io.penstock.loader.source.BucketFolder;
import io.penstock.loader.source.RemoteHttp;
import io.penstock.loader.source.Renewable;
import io.penstock.loader.source.S3Account;
import io.penstock.loader.source.S3Answer;
import io.penstock.loader.source.ServiceFailure;
import io.penstock.loader.source.TransientFailure;
import io.penstock.loader.verify.Checksum;
import io.penstock.model.ErrorCategory;
import io.penstock.model.PenstockException;
import java.net.http.HttpHeaders;
import java.net.http.HttpResponse;
import java.nio.ByteBuffer;
import java.security.MessageDigest;
import java.time.Duration;
import java.util.ArrayList;
import java.util.Arrays;
import java.util.Base64;
import java.util.HexFormat;
import java.util.List;
import java.util.Map;
import java.util.Optional;
import java.util.Set;
import java.util.function.Function;
import java.util.regex.Matcher;
import java.util.regex.Pattern;

/// PutObject and multipart uploads by S3's API, path style, below one prefix of a bucket.
///
/// Each PUT carries the MD5 of its bytes, which every such service compares, and its CRC32C where the service knows
/// of that. What an object holds is told by its CRC32C, else by its ETag: the MD5 of the bytes, or that of the parts'
/// MD5s and their count. Services that encrypt with keys of their own have other ETags, which tell nothing.
final class S3Uploads implements BucketUploads {
    private static final int MAX_PAGES = 100;
    private static final String CHECKSUM = "x-amz-checksum-crc32c";
    private static final Pattern MD5 = Pattern.compile("\"?([0-9a-f]{32})(?:-(\\d+))?\"?");
    /// What may come in the body of a 200 and be gone a moment later.
    private static final Set<String> MOMENTARY = Set.of("InternalError", "SlowDown", "ServiceUnavailable");

    private final RemoteHttp http;
    private final Renewable<S3Account> account;
    private final BucketFolder folder;
    private final Sending sending;
    /// Whether the service takes CRC32C, as far as it has said otherwise.
    private volatile boolean knowsChecksums = true;

    S3Uploads(RemoteHttp http, Renewable<S3Account> account, BucketFolder folder, Duration stallTimeout) {
        this.http = http;
        this.account = account;
        this.folder = folder;
        this.sending = new Sending(http.client(), stallTimeout);
    }

    @Override
    public BucketFolder folder() {
        return folder;
    }

    @Override
    public boolean wantsMd5() {
        return true;
    }

    @Override
    public String invalidPartCode() {
        return "InvalidPart";
    }

    @Override
    public boolean tells(Stored stored, int parts) {
        Matcher etag = MD5.matcher(stored.etag());
        return stored.crc32c().isPresent()
                || (etag.matches()
                        && (etag.group(2) == null ? parts <= 1 : etag.group(2).equals("" + parts)));
    }

    @Override
    public Likeness compare(Stored stored, Content content) {
        if (stored.crc32c().isPresent()) {
            return Likeness.of(stored.crc32c(), content.crc32c());
        }
        Matcher etag = MD5.matcher(stored.etag());
        if (!etag.matches() || content.md5s().isEmpty()) {
            return Likeness.UNKNOWN;
        }
        byte[] digest = etag.group(2) == null
                ? Base64.getDecoder().decode(content.md5s().getFirst())
                : ofParts(content.md5s());
        boolean same = Arrays.equals(digest, HexFormat.of().parseHex(etag.group(1)))
                && (etag.group(2) == null
                        ? content.md5s().size() == 1
                        : etag.group(2).equals("" + content.md5s().size()));
        // Some ETags look like one and are none.
        return same ? Likeness.SAME : Likeness.UNKNOWN;
    }

    private static byte[] ofParts(List<String> md5s) {
        MessageDigest whole = FileRegion.md5();
        md5s.forEach(part -> whole.update(Base64.getDecoder().decode(part)));
        return whole.digest();
    }

    @Override
    public Optional<Stored> head(String object) {
        return BucketUploads.ifThere(() -> asFarAsItKnows(checksums -> {
            String[] wish = checksums ? new String[] {"x-amz-checksum-mode", "ENABLED"} : new String[0];
            HttpHeaders headers =
                    call("HEAD", object, folder.target(object), wish).headers();
            // One with a dash is over the checksums of parts.
            Optional<Checksum> crc = headers.firstValue(CHECKSUM)
                    .filter(sum -> !sum.contains("-"))
                    .map(Checksum::crc32c);
            return new Stored(headers.firstValueAsLong("content-length").orElse(-1), etag(object, headers), crc);
        }));
    }

    /// Older services answer 501 or 400 to a header that they do not know: it is left out then, and from then on.
    ///
    /// @param call is told whether to send one
    private <T> T asFarAsItKnows(Function<Boolean, T> call) {
        boolean checksums = knowsChecksums;
        try {
            return call.apply(checksums);
        } catch (ServiceFailure e) {
            if (!checksums || (e.status() != 501 && e.status() != 400)) {
                throw e;
            }
            knowsChecksums = false;
            return call.apply(false);
        }
    }

    private HttpResponse<byte[]> call(String method, String object, String target, String... headers) {
        return http.call(folder.place(object), account, signer -> signer.signed(method, target, headers));
    }

    @Override
    public void delete(String object) {
        call("DELETE", object, folder.target(object));
    }

    @Override
    public List<Upload> begun() {
        List<Upload> found = new ArrayList<>();
        String asked = folder.target() + "?";
        String more = "";
        for (int page = 0; page < MAX_PAGES; page++) {
            S3Answer answer = list(asked + more + "prefix=" + BucketFolder.encode(object("")) + "&uploads=");
            for (Map<String, String> upload : answer.groups("Upload")) {
                String object = upload.getOrDefault("Key", "");
                // Some do not look at the prefix.
                if (object.startsWith(object(""))) {
                    found.add(new Upload(
                            object,
                            upload.getOrDefault("UploadId", ""),
                            upload.getOrDefault("ChecksumAlgorithm", "").equals("CRC32C")));
                }
            }
            if (!isTruncated(answer)) {
                return found;
            }
            more = "key-marker=" + BucketFolder.encode(answer.required("NextKeyMarker")) + "&upload-id-marker="
                    + BucketFolder.encode(answer.required("NextUploadIdMarker")) + "&";
        }
        throw tooMany();
    }

    @Override
    public List<Part> parts(Upload upload) {
        List<Part> found = new ArrayList<>();
        String more = "";
        for (int page = 0; page < MAX_PAGES; page++) {
            S3Answer answer = list(folder.target(upload.object()) + "?" + more + id(upload));
            for (Map<String, String> part : answer.groups("Part")) {
                String etag = part.getOrDefault("ETag", "");
                found.add(new Part(
                        Math.toIntExact(answer.number(part, "PartNumber")),
                        etag,
                        md5(etag),
                        answer.number(part, "Size")));
            }
            if (!isTruncated(answer)) {
                return found;
            }
            more = "part-number-marker=" + BucketFolder.encode(answer.required("NextPartNumberMarker")) + "&";
        }
        throw tooMany();
    }

    private static String md5(String etag) {
        Matcher digest = MD5.matcher(etag);
        return digest.matches() && digest.group(2) == null
                ? Base64.getEncoder().encodeToString(HexFormat.of().parseHex(digest.group(1)))
                : "";
    }

    private S3Answer list(String target) {
        HttpResponse<byte[]> answer = http.call(folder.place(), account, signer -> signer.signed("GET", target));
        return S3Answer.parse(folder.place(), answer.body());
    }

    private static boolean isTruncated(S3Answer answer) {
        return answer.text("IsTruncated").filter("true"::equalsIgnoreCase).isPresent();
    }

    private PenstockException tooMany() {
        return new PenstockException(
                ErrorCategory.BAD_INPUT,
                "%s has over %d pages of unfinished uploads; remove some",
                folder.place(),
                MAX_PAGES);
    }

    private static String id(Upload upload) {
        return "uploadId=" + BucketFolder.encode(upload.id());
    }

    @Override
    public Upload begin(String object) {
        return asFarAsItKnows(checksums -> {
            String[] wish = checksums
                    ? new String[] {"x-amz-checksum-algorithm", "CRC32C", "x-amz-checksum-type", "FULL_OBJECT"}
                    : new String[0];
            HttpResponse<byte[]> answer = http.call(
                    folder.place(object),
                    account,
                    signer -> signer.signedXml(folder.target(object) + "?uploads=", "", wish));
            return new Upload(
                    object, S3Answer.parse(folder.place(object), answer.body()).required("UploadId"), checksums);
        });
    }

    @Override
    public void abort(Upload upload) {
        // Not there: it has ended otherwise.
        BucketUploads.ifThere(() -> call("DELETE", upload.object(), folder.target(upload.object()) + "?" + id(upload)));
    }

    @Override
    public String putPart(Upload upload, int number, FileRegion region, FileRegion.Sums sums) {
        HttpHeaders headers = put(
                folder.place(upload.object()) + " part " + number,
                folder.target(upload.object()) + "?partNumber=" + number + "&" + id(upload),
                region,
                sums,
                upload.checksums());
        return etag(upload.object(), headers);
    }

    @Override
    public Stored putObject(String object, FileRegion region, long size, FileRegion.Sums sums) {
        return asFarAsItKnows(checksums -> {
            HttpHeaders headers = put(folder.place(object), folder.target(object), region, sums, checksums);
            return new Stored(
                    size, etag(object, headers), headers.firstValue(CHECKSUM).map(Checksum::crc32c));
        });
    }

    private HttpHeaders put(String what, String target, FileRegion region, FileRegion.Sums sums, boolean checksum) {
        List<String> headers =
                new ArrayList<>(List.of("content-md5", sums.md5(), "content-type", "application/octet-stream"));
        if (checksum) {
            byte[] value =
                    ByteBuffer.allocate(Integer.BYTES).putInt(sums.whole()).array();
            headers.addAll(List.of(CHECKSUM, Base64.getEncoder().encodeToString(value)));
        }
        return sending.send(
                what,
                account,
                signer -> signer.signedPut(target, region.body(), region::open, headers.toArray(String[]::new)),
                region);
    }

    @Override
    public Optional<Stored> commit(Upload upload, List<String> etags, Content content) {
        String what = folder.place(upload.object());
        StringBuilder parts = new StringBuilder("<CompleteMultipartUpload>");
        for (int i = 0; i < etags.size(); i++) {
            parts.append("<Part><PartNumber>")
                    .append(i + 1)
                    .append("</PartNumber><ETag>")
                    .append(etags.get(i).replace("&", "&amp;").replace("<", "&lt;"))
                    .append("</ETag></Part>");
        }
        String body = parts.append("</CompleteMultipartUpload>").toString();
        return BucketUploads.ifThere(() -> {
            HttpResponse<byte[]> answer = http.call(
                    what,
                    account,
                    signer -> signer.signedXml(folder.target(upload.object()) + "?" + id(upload), body),
                    response -> requireDone(what, response));
            String etag = S3Answer.parse(what, answer.body()).required("ETag");
            return new Stored(content.size(), etag, Optional.empty());
        });
    }

    /// The service has begun its answer with 200 before it knows how that ends.
    private static void requireDone(String what, HttpResponse<byte[]> response) {
        S3Answer answer = S3Answer.parse(what, response.body());
        if (answer.root().equals("Error")) {
            String code = answer.text("Code").orElse("");
            String text = what + ": " + code + " " + answer.text("Message").orElse("");
            throw MOMENTARY.contains(code) ? new TransientFailure("refused", text) : ServiceFailure.late(code, text);
        }
    }
}
