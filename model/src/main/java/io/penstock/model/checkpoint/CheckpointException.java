package io.penstock.model.checkpoint;

import com.google.errorprone.annotations.FormatMethod;
import com.google.errorprone.annotations.FormatString;
import io.penstock.model.ErrorCategory;
import io.penstock.model.PenstockException;
import java.nio.file.Path;
import java.util.Locale;

/// A checkpoint that must not be loaded. Names the file, and the tensor, key or offset at fault.
public class CheckpointException extends PenstockException {
    /// @param where the tensor, metadata key or offset at fault
    @FormatMethod
    public CheckpointException(Path file, String where, @FormatString String format, Object... arguments) {
        super(ErrorCategory.CORRUPT, "%s: %s: %s", file, where, String.format(Locale.ROOT, format, arguments));
    }

    /// @param where the tensor, metadata key or offset at fault
    @FormatMethod
    public CheckpointException(
            Path file, String where, Throwable cause, @FormatString String format, Object... arguments) {
        super(ErrorCategory.CORRUPT, cause, "%s: %s: %s", file, where, String.format(Locale.ROOT, format, arguments));
    }
}
