package io.penstock.shard.backend;

import com.google.errorprone.annotations.FormatMethod;
import com.google.errorprone.annotations.FormatString;
import io.penstock.model.ErrorCategory;
import io.penstock.model.PenstockException;
import java.util.Locale;

/// The device cannot be used any more: the process says so and ends, and a new one takes its place.
public class DeviceException extends PenstockException {
    @FormatMethod
    public DeviceException(Throwable cause, @FormatString String format, Object... arguments) {
        super(ErrorCategory.INTERNAL, cause, "%s", String.format(Locale.ROOT, format, arguments));
    }
}
