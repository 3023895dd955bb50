package io.penstock.gateway.access;

import io.penstock.gateway.config.GatewayConfig;
import jakarta.enterprise.context.ApplicationScoped;
import jakarta.inject.Inject;
import java.nio.charset.StandardCharsets;
import java.security.MessageDigest;
import java.security.NoSuchAlgorithmException;
import java.util.List;

/// Who may call. Keys are held as hashes, and every one is compared in full, so that the time taken says nothing.
@ApplicationScoped
public class ApiKeys {
    private static final String SCHEME = "Bearer ";

    private final List<byte[]> hashes;

    @Inject
    public ApiKeys(GatewayConfig config) {
        this(config.apiKeys().orElse(List.of()));
    }

    ApiKeys(List<String> keys) {
        hashes = keys.stream().map(ApiKeys::hash).toList();
    }

    /// @param authorization the header's value; null: there was none
    public boolean admit(String authorization) {
        if (hashes.isEmpty()) {
            return true;
        }
        if (authorization == null || !authorization.regionMatches(true, 0, SCHEME, 0, SCHEME.length())) {
            return false;
        }
        byte[] presented = hash(authorization.substring(SCHEME.length()).strip());
        boolean known = false;
        for (byte[] hash : hashes) {
            known |= MessageDigest.isEqual(hash, presented);
        }
        return known;
    }

    private static byte[] hash(String key) {
        try {
            return MessageDigest.getInstance("SHA-256").digest(key.getBytes(StandardCharsets.UTF_8));
        } catch (NoSuchAlgorithmException e) {
            throw new IllegalStateException("every Java platform has SHA-256", e);
        }
    }
}
