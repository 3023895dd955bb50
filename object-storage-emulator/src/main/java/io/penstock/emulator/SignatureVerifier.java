package io.penstock.emulator;

import io.vertx.core.http.HttpServerRequest;
import java.nio.charset.StandardCharsets;
import java.security.GeneralSecurityException;
import java.security.PublicKey;
import java.security.Signature;
import java.time.Clock;
import java.time.DateTimeException;
import java.time.Duration;
import java.time.Instant;
import java.time.ZonedDateTime;
import java.time.format.DateTimeFormatter;
import java.util.Arrays;
import java.util.Base64;
import java.util.HashMap;
import java.util.HashSet;
import java.util.List;
import java.util.Locale;
import java.util.Map;
import java.util.Set;
import java.util.concurrent.ConcurrentHashMap;
import java.util.regex.Matcher;
import java.util.regex.Pattern;

/// Checks OCI's HTTP request signatures, version 1 (RSA-SHA256 over a list of headers that the client
/// names).
///
/// Source: Oracle's page "Request Signatures", and draft-cavage-http-signatures-08 that it builds on.
final class SignatureVerifier {
    static final Duration MAX_SKEW = Duration.ofMinutes(5);

    private static final String REQUEST_TARGET = "(request-target)";
    private static final Set<String> BODY_HEADERS = Set.of("content-length", "content-type", "x-content-sha256");
    private static final Pattern PARAMETER = Pattern.compile("\\s*([A-Za-z]+)=\"([^\"]*)\"\\s*(?:,|$)");

    private final Map<String, PublicKey> keys = new ConcurrentHashMap<>();
    private final Clock clock;

    SignatureVerifier(Clock clock) {
        this.clock = clock;
    }

    void register(Credentials credentials) {
        register(credentials.keyId(), credentials.keys().getPublic());
    }

    void register(String keyId, PublicKey key) {
        keys.put(keyId, key);
    }

    void revoke(String keyId) {
        keys.remove(keyId);
    }

    /// @param bodySigned whether the headers that describe the body must be signed: true for requests with
    ///     a JSON
    ///     body, false for those without a body and for the streamed ones (PutObject, UploadPart)
    /// @throws ServiceException 401, with the reason spelt out; the real service keeps it to itself
    void verify(HttpServerRequest request, boolean bodySigned) {
        String authorization = request.getHeader("authorization");
        if (authorization == null || !authorization.regionMatches(true, 0, "Signature ", 0, 10)) {
            throw ServiceException.notAuthenticated("no Authorization header of the Signature scheme");
        }
        Map<String, String> parameters = parameters(authorization.substring(10));
        require(parameters, "version", "1");
        require(parameters, "algorithm", "rsa-sha256");
        PublicKey key = keys.get(parameters.getOrDefault("keyId", ""));
        if (key == null) {
            throw ServiceException.notAuthenticated("the keyId is not known");
        }
        List<String> signed = Arrays.asList(
                parameters.getOrDefault("headers", "").toLowerCase(Locale.ROOT).split(" "));
        checkSignedHeaders(signed, bodySigned);
        checkDate(request, signed);
        checkSignature(signingString(request, signed), parameters.getOrDefault("signature", ""), key);
    }

    private static Map<String, String> parameters(String text) {
        Map<String, String> parameters = new HashMap<>();
        Matcher matcher = PARAMETER.matcher(text);
        int end = 0;
        while (matcher.lookingAt()) {
            parameters.put(matcher.group(1), matcher.group(2));
            end = matcher.end();
            matcher.region(end, text.length());
        }
        if (end != text.length()) {
            throw ServiceException.notAuthenticated("the Authorization header is malformed at character " + end);
        }
        return parameters;
    }

    private static void require(Map<String, String> parameters, String name, String value) {
        if (!value.equals(parameters.get(name))) {
            throw ServiceException.notAuthenticated(name + " is not \"" + value + "\"");
        }
    }

    private static void checkSignedHeaders(List<String> signed, boolean bodySigned) {
        Set<String> missing = new HashSet<>(Set.of(REQUEST_TARGET, "host"));
        if (bodySigned) {
            missing.addAll(BODY_HEADERS);
        }
        signed.forEach(missing::remove);
        if (!missing.isEmpty()) {
            throw ServiceException.notAuthenticated("these headers must be signed: " + missing);
        }
        if (!signed.contains("date") && !signed.contains("x-date")) {
            throw ServiceException.notAuthenticated("date or x-date must be signed");
        }
    }

    private void checkDate(HttpServerRequest request, List<String> signed) {
        String date = request.getHeader(signed.contains("x-date") ? "x-date" : "date");
        Instant sent;
        try {
            sent = ZonedDateTime.parse(date == null ? "" : date, DateTimeFormatter.RFC_1123_DATE_TIME)
                    .toInstant();
        } catch (DateTimeException e) {
            throw ServiceException.notAuthenticated("the date '" + date + "' is not of RFC 1123");
        }
        if (Duration.between(sent, clock.instant()).abs().compareTo(MAX_SKEW) > 0) {
            throw ServiceException.notAuthenticated("the date '" + date + "' is more than 5 minutes off");
        }
    }

    private static String signingString(HttpServerRequest request, List<String> signed) {
        StringBuilder text = new StringBuilder();
        for (String header : signed) {
            if (!text.isEmpty()) {
                text.append('\n');
            }
            text.append(header).append(": ");
            if (header.equals(REQUEST_TARGET)) {
                text.append(request.method().name().toLowerCase(Locale.ROOT))
                        .append(' ')
                        .append(request.uri());
            } else {
                String value = request.getHeader(header);
                if (value == null) {
                    throw ServiceException.notAuthenticated("the signed header '" + header + "' is missing");
                }
                text.append(value.strip());
            }
        }
        return text.toString();
    }

    private static void checkSignature(String signingString, String signature, PublicKey key) {
        try {
            Signature verifier = Signature.getInstance("SHA256withRSA");
            verifier.initVerify(key);
            verifier.update(signingString.getBytes(StandardCharsets.UTF_8));
            if (!verifier.verify(Base64.getDecoder().decode(signature))) {
                throw ServiceException.notAuthenticated("the signature does not match the request");
            }
        } catch (GeneralSecurityException | IllegalArgumentException e) {
            throw ServiceException.notAuthenticated("the signature cannot be read: " + e.getMessage());
        }
    }
}
