package io.penstock.emulator;

import java.security.SecureRandom;
import java.util.HexFormat;

/// A key for the API of S3; OCI calls it a customer secret key.
///
/// @param id what requests name
/// @param secret what signatures are made with; never sent
public record AccessKey(String id, String secret) {
    private static final int ID_BYTES = 10;
    private static final int SECRET_BYTES = 20;

    public static AccessKey generate() {
        SecureRandom random = new SecureRandom();
        byte[] id = new byte[ID_BYTES];
        byte[] secret = new byte[SECRET_BYTES];
        random.nextBytes(id);
        random.nextBytes(secret);
        return new AccessKey(HexFormat.of().formatHex(id), HexFormat.of().formatHex(secret));
    }
}
