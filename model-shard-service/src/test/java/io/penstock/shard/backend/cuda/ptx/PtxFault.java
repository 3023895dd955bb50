package io.penstock.shard.backend.cuda.ptx;

import com.google.errorprone.annotations.FormatMethod;
import com.google.errorprone.annotations.FormatString;
import java.util.Locale;

/// A kernel did what it must not, or what this interpreter does not know.
public final class PtxFault extends RuntimeException {
    private static final long serialVersionUID = 1;

    @FormatMethod
    PtxFault(@FormatString String format, Object... values) {
        super(String.format(Locale.ROOT, format, values));
    }

    PtxFault(String message, Throwable cause) {
        super(message, cause);
    }
}
