package io.penstock.api;

import io.grpc.Metadata;
import io.grpc.Status;
import io.grpc.StatusRuntimeException;
import io.penstock.model.ErrorCategory;
import io.penstock.model.PenstockException;
import java.util.Locale;

/// How failures cross a gRPC boundary: the one place that maps categories to statuses and back.
public final class ErrorStatus {
    public static final Metadata.Key<String> CATEGORY =
            Metadata.Key.of("penstock-category", Metadata.ASCII_STRING_MARSHALLER);

    /// When one who was told of an overload may come back, in milliseconds.
    public static final Metadata.Key<String> RETRY_AFTER =
            Metadata.Key.of("retry-after-ms", Metadata.ASCII_STRING_MARSHALLER);

    private ErrorStatus() {}

    public static StatusRuntimeException toStatus(ErrorCategory category, String message) {
        Metadata trailers = new Metadata();
        trailers.put(CATEGORY, category.name());
        return code(category).toStatus().withDescription(message).asRuntimeException(trailers);
    }

    public static StatusRuntimeException toStatus(PenstockException failure) {
        return toStatus(failure.category(), failure.getMessage());
    }

    /// @param failure of a call, with or without our trailer
    public static PenstockException fromStatus(Throwable failure) {
        Status status = Status.fromThrowable(failure);
        Metadata trailers = Status.trailersFromThrowable(failure);
        String name = trailers == null ? null : trailers.get(CATEGORY);
        return new PenstockException(category(status.getCode(), name), failure, "%s", why(status));
    }

    /// What an operator needs to know of a failed call, or of a peer that could not be reached: "io exception" alone
    /// tells nothing, what lies below it does.
    public static String why(Status status) {
        StringBuilder why = new StringBuilder(
                status.getDescription() == null
                        ? status.getCode().name().toLowerCase(Locale.ROOT)
                        : status.getDescription());
        for (Throwable cause = status.getCause(); cause != null; cause = cause.getCause()) {
            String message = cause.getMessage();
            if (message != null && why.indexOf(message) < 0) {
                why.append(": ").append(message);
            }
        }
        return why.toString();
    }

    private static ErrorCategory category(Status.Code code, String name) {
        for (ErrorCategory category : ErrorCategory.values()) {
            if (category.name().equals(name)) {
                return category;
            }
        }
        return switch (code) {
            case INVALID_ARGUMENT, OUT_OF_RANGE, FAILED_PRECONDITION -> ErrorCategory.BAD_INPUT;
            case NOT_FOUND -> ErrorCategory.NOT_FOUND;
            case RESOURCE_EXHAUSTED -> ErrorCategory.OVERLOADED;
            case UNAVAILABLE, CANCELLED, ABORTED -> ErrorCategory.UNAVAILABLE;
            case DEADLINE_EXCEEDED -> ErrorCategory.DEADLINE;
            case DATA_LOSS -> ErrorCategory.CORRUPT;
            case OK, UNKNOWN, ALREADY_EXISTS, PERMISSION_DENIED, UNIMPLEMENTED, INTERNAL, UNAUTHENTICATED ->
                ErrorCategory.INTERNAL;
        };
    }

    private static Status.Code code(ErrorCategory category) {
        return switch (category) {
            case BAD_INPUT -> Status.Code.INVALID_ARGUMENT;
            case NOT_FOUND -> Status.Code.NOT_FOUND;
            case OVERLOADED -> Status.Code.RESOURCE_EXHAUSTED;
            case UNAVAILABLE -> Status.Code.UNAVAILABLE;
            case DEADLINE -> Status.Code.DEADLINE_EXCEEDED;
            case CORRUPT -> Status.Code.DATA_LOSS;
            case INTERNAL -> Status.Code.INTERNAL;
        };
    }
}
