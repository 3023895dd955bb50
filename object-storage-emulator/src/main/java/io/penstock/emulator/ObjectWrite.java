package io.penstock.emulator;

/// One step of an upload, as faults choose by.
///
/// @param part its number, 0 for what is no part of a multipart upload
public record ObjectWrite(Step step, String bucket, String object, int part) {
    /// What the request is for.
    public enum Step {
        /// A whole object by one PUT.
        OBJECT,
        /// One part of a multipart upload.
        PART,
        /// The end of a multipart upload.
        COMMIT
    }
}
