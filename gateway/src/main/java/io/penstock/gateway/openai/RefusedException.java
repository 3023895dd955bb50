package io.penstock.gateway.openai;

/// A request that is refused for what it is as HTTP, before anybody asks what it wants.
final class RefusedException extends RuntimeException {
    private final transient HttpError error;

    RefusedException(HttpError error) {
        super(error.message());
        this.error = error;
    }

    HttpError error() {
        return error;
    }
}
