package io.penstock.emulator;

import io.vertx.core.http.HttpServerRequest;
import java.nio.charset.StandardCharsets;
import java.security.GeneralSecurityException;
import java.security.MessageDigest;
import java.time.Clock;
import java.time.DateTimeException;
import java.time.Duration;
import java.time.Instant;
import java.time.ZoneOffset;
import java.time.format.DateTimeFormatter;
import java.util.Arrays;
import java.util.Comparator;
import java.util.HexFormat;
import java.util.List;
import java.util.Locale;
import java.util.Map;
import java.util.concurrent.ConcurrentHashMap;
import java.util.regex.Matcher;
import java.util.regex.Pattern;
import java.util.stream.Collectors;
import java.util.stream.Stream;
import javax.crypto.Mac;
import javax.crypto.spec.SecretKeySpec;

/// Checks signatures of S3's API, version 4, in the `Authorization` header. That of the body is checked with the bytes,
/// by whoever receives them.
///
/// Source: AWS's pages "Authenticating Requests: Using the Authorization Header" and "Create a signed AWS API request".
final class S3Signatures {
    static final String SCHEME = "AWS4-HMAC-SHA256";
    static final Duration MAX_SKEW = Duration.ofMinutes(15);

    private static final String UNSIGNED = "UNSIGNED-PAYLOAD";
    private static final DateTimeFormatter DATE =
            DateTimeFormatter.ofPattern("yyyyMMdd'T'HHmmss'Z'", Locale.ROOT).withZone(ZoneOffset.UTC);
    private static final Pattern AUTHORIZATION =
            Pattern.compile(SCHEME + " Credential=([^/,\\s]+)/(\\d{8})/([^/,]+)/s3/aws4_request,"
                    + "\\s*SignedHeaders=([a-z0-9;-]+),\\s*Signature=([0-9a-f]{64})");

    private final Map<String, String> secrets = new ConcurrentHashMap<>();
    private final Clock clock;

    S3Signatures(Clock clock) {
        this.clock = clock;
    }

    void register(AccessKey key) {
        secrets.put(key.id(), key.secret());
    }

    void revoke(AccessKey key) {
        secrets.remove(key.id());
    }

    /// @throws ServiceException 403, with the reason spelt out
    void verify(HttpServerRequest request) {
        Matcher given = AUTHORIZATION.matcher(request.getHeader("authorization"));
        if (!given.matches()) {
            throw refused("AccessDenied", "the Authorization header is not of version 4 for s3");
        }
        String secret = secrets.get(given.group(1));
        if (secret == null) {
            throw refused("InvalidAccessKeyId", "the access key is not known");
        }
        String date = checkedDate(request, given.group(2));
        List<String> signed = Arrays.asList(given.group(4).split(";"));
        checkSigned(request, signed);
        String scope = given.group(2) + "/" + given.group(3) + "/s3/aws4_request";
        String text = SCHEME + "\n" + date + "\n" + scope + "\n" + hex(sha256(canonical(request, signed)));
        byte[] key = ("AWS4" + secret).getBytes(StandardCharsets.UTF_8);
        for (String part : scope.split("/")) {
            key = hmac(key, part);
        }
        if (!MessageDigest.isEqual(hmac(key, text), HexFormat.of().parseHex(given.group(5)))) {
            throw refused("SignatureDoesNotMatch", "the signature does not match the request");
        }
    }

    private String checkedDate(HttpServerRequest request, String day) {
        String date = String.valueOf(request.getHeader("x-amz-date"));
        try {
            Instant sent = DATE.parse(date, Instant::from);
            if (date.startsWith(day)
                    && Duration.between(sent, clock.instant()).abs().compareTo(MAX_SKEW) <= 0) {
                return date;
            }
        } catch (DateTimeException e) {
            throw refused("AccessDenied", "x-amz-date '" + date + "' is no date: " + e.getMessage());
        }
        throw refused("RequestTimeTooSkewed", "x-amz-date '" + date + "' is more than 15 minutes off");
    }

    private static void checkSigned(HttpServerRequest request, List<String> signed) {
        List<String> missing = Stream.concat(Stream.of("host"), request.headers().names().stream())
                .map(name -> name.toLowerCase(Locale.ROOT))
                .filter(name -> name.equals("host") || name.equals("content-md5") || name.startsWith("x-amz-"))
                .filter(name -> !signed.contains(name))
                .toList();
        if (!missing.isEmpty()) {
            throw refused("AccessDenied", "these headers must be signed: " + missing);
        }
        String body = request.getHeader("x-amz-content-sha256");
        if (body != null && body.startsWith("STREAMING-")) {
            throw new ServiceException(501, "NotImplemented", "Bodies in signed chunks are not known here");
        }
        if (body == null || !(body.equals(UNSIGNED) || body.matches("[0-9a-f]{64}"))) {
            throw ServiceException.invalid("x-amz-content-sha256 is '" + body + "'");
        }
    }

    private static String canonical(HttpServerRequest request, List<String> signed) {
        String[] target = request.uri().split("\\?", 2);
        String query = target.length == 1
                ? ""
                : Arrays.stream(target[1].split("&"))
                        .map(pair -> pair.contains("=") ? pair : pair + "=")
                        // By name, then by value: an equals sign is no letter to sort by.
                        .sorted(Comparator.comparing((String pair) -> pair.substring(0, pair.indexOf('=')))
                                .thenComparing(pair -> pair))
                        .collect(Collectors.joining("&"));
        StringBuilder text = new StringBuilder(request.method().name())
                .append('\n')
                .append(target[0])
                .append('\n')
                .append(query)
                .append('\n');
        for (String name : signed) {
            String value = String.join(",", request.headers().getAll(name));
            text.append(name)
                    .append(':')
                    .append(value.strip().replaceAll(" +", " "))
                    .append('\n');
        }
        return text.append('\n')
                .append(String.join(";", signed))
                .append('\n')
                .append(request.getHeader("x-amz-content-sha256"))
                .toString();
    }

    private static byte[] hmac(byte[] key, String text) {
        try {
            Mac mac = Mac.getInstance("HmacSHA256");
            mac.init(new SecretKeySpec(key, "HmacSHA256"));
            return mac.doFinal(text.getBytes(StandardCharsets.UTF_8));
        } catch (GeneralSecurityException e) {
            throw new IllegalStateException("every Java platform has HmacSHA256", e);
        }
    }

    private static byte[] sha256(String text) {
        return Emulator.sha256(text.getBytes(StandardCharsets.UTF_8));
    }

    private static String hex(byte[] bytes) {
        return HexFormat.of().formatHex(bytes);
    }

    private static ServiceException refused(String code, String reason) {
        return new ServiceException(403, code, "The request is not authenticated: " + reason);
    }
}
