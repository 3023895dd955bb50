package io.penstock.cli;

import com.google.errorprone.annotations.FormatMethod;
import com.google.errorprone.annotations.FormatString;
import java.util.Locale;

/// Something the person at the terminal can act on; its message says what.
public final class CommandFailure extends RuntimeException {
    @FormatMethod
    public CommandFailure(@FormatString String format, Object... arguments) {
        super(String.format(Locale.ROOT, format, arguments));
    }
}
