package io.penstock.emulator;

/// A refusal in the service's own terms: the HTTP status and the `code` of its JSON error body.
final class ServiceException extends RuntimeException {
    private final int status;
    private final String code;

    ServiceException(int status, String code, String message) {
        super(message);
        this.status = status;
        this.code = code;
    }

    static ServiceException notAuthenticated(String reason) {
        return new ServiceException(401, "NotAuthenticated", "The request is not authenticated: " + reason);
    }

    static ServiceException invalid(String message) {
        return new ServiceException(400, "InvalidParameter", message);
    }

    static ServiceException noBucket(String bucket) {
        return new ServiceException(404, "BucketNotFound", "The bucket '" + bucket + "' does not exist");
    }

    static ServiceException noObject(String bucket, String object) {
        return new ServiceException(
                404, "ObjectNotFound", "The object '" + object + "' was not found in the bucket '" + bucket + "'");
    }

    static ServiceException noUpload(String upload) {
        return new ServiceException(404, "NoSuchUpload", "The upload '" + upload + "' does not exist");
    }

    int status() {
        return status;
    }

    String code() {
        return code;
    }
}
