package io.penstock.shard.backend.cuda.ptx;

/// A kernel did what it must not, or what this interpreter does not know.
public final class PtxFault extends RuntimeException {
    private static final long serialVersionUID = 1;

    PtxFault(String format, Object... values) {
        super(values.length == 0 ? format : String.format(java.util.Locale.ROOT, format, values));
    }

    PtxFault(String message, Throwable cause) {
        super(message, cause);
    }
}
