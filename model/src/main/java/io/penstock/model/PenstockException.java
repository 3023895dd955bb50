package io.penstock.model;

import com.google.errorprone.annotations.FormatMethod;
import com.google.errorprone.annotations.FormatString;
import java.util.Locale;

/// The failure that crosses module boundaries: a category and a message for the one who must act.
///
/// The message is safe to show to a client only for [ErrorCategory#BAD_INPUT], [ErrorCategory#NOT_FOUND] and
/// [ErrorCategory#OVERLOADED]; others are for the log.
public class PenstockException extends RuntimeException {
    private final ErrorCategory category;

    /// @param format as in [String#format], with the root locale
    @FormatMethod
    public PenstockException(ErrorCategory category, @FormatString String format, Object... arguments) {
        super(String.format(Locale.ROOT, format, arguments));
        this.category = category;
    }

    @FormatMethod
    public PenstockException(
            ErrorCategory category, Throwable cause, @FormatString String format, Object... arguments) {
        super(String.format(Locale.ROOT, format, arguments), cause);
        this.category = category;
    }

    public ErrorCategory category() {
        return category;
    }
}
