package io.penstock.gateway.chat;

import com.google.errorprone.annotations.FormatMethod;
import com.google.errorprone.annotations.FormatString;
import io.penstock.model.ErrorCategory;
import io.penstock.model.PenstockException;
import java.util.Optional;

/// A request that cannot be served as it stands, and which of its parameters is why. The message is for the client.
public final class RequestException extends PenstockException {
    private final String parameter;
    private final String code;

    /// @param parameter null: none in particular
    /// @param code a word that programs match on; null: none
    @FormatMethod
    public RequestException(
            ErrorCategory category, String parameter, String code, @FormatString String format, Object... arguments) {
        super(category, format, arguments);
        this.parameter = parameter;
        this.code = code;
    }

    /// A parameter that has no meaning, or exceeds its bounds.
    @FormatMethod
    public static RequestException bad(String parameter, @FormatString String format, Object... arguments) {
        return new RequestException(ErrorCategory.BAD_INPUT, parameter, null, format, arguments);
    }

    public Optional<String> parameter() {
        return Optional.ofNullable(parameter);
    }

    public Optional<String> code() {
        return Optional.ofNullable(code);
    }
}
