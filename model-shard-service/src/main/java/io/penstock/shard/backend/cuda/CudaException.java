package io.penstock.shard.backend.cuda;

import com.google.errorprone.annotations.FormatMethod;
import com.google.errorprone.annotations.FormatString;
import io.penstock.shard.backend.DeviceException;
import java.util.Locale;

/// A call to the device or to one of its libraries failed. Most such errors are sticky: the process's
/// context is lost, and only a new process helps.
public final class CudaException extends DeviceException {
    private final int status;

    /// @param status as the driver or the library gave it
    @FormatMethod
    CudaException(int status, @FormatString String format, Object... arguments) {
        super(null, "%s", String.format(Locale.ROOT, format, arguments));
        this.status = status;
    }

    public int status() {
        return status;
    }
}
