package io.penstock.loader.source;

import io.penstock.model.ErrorCategory;
import io.penstock.model.PenstockException;
import io.vertx.core.json.DecodeException;
import io.vertx.core.json.JsonObject;
import java.util.Set;

/// A service's refusal, with its own word for the reason.
public final class ServiceFailure extends PenstockException {
    /// What a service says of credentials by its code that its status does not say.
    private static final Set<String> CREDENTIALS = Set.of("ExpiredToken", "TokenRefreshRequired");

    private final int status;
    private final String code;

    /// @param code as [#code(String)] found it
    ServiceFailure(ErrorCategory category, int status, String code, String text) {
        super(category, "%s", text);
        this.status = status;
        this.code = code;
    }

    /// What came in the body of a 200.
    public static ServiceFailure late(String code, String text) {
        ErrorCategory category = code.startsWith("NoSuch") ? ErrorCategory.NOT_FOUND : ErrorCategory.UNAVAILABLE;
        return new ServiceFailure(category, 200, code, text);
    }

    /// The HTTP status.
    public int status() {
        return status;
    }

    /// The service's word, as `InvalidUploadPart`; empty where it gave none.
    public String code() {
        return code;
    }

    /// @param body of a refusal: JSON of OCI, XML of S3, or of anybody
    /// @return empty where it tells no code
    static String code(String body) {
        try {
            return body.stripLeading().startsWith("{")
                    ? String.valueOf(new JsonObject(body).getValue("code", ""))
                    : S3Answer.parse("refusal", body).text("Code").orElse("");
        } catch (DecodeException | PenstockException e) {
            // A page of some proxy: the status says enough.
            return "";
        }
    }

    static boolean isOfCredentials(String code) {
        return CREDENTIALS.contains(code);
    }
}
