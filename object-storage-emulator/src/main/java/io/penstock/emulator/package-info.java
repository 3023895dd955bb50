/// A stand-in for OCI Object Storage on loopback, for tests and for the demonstration: the native API
/// over HTTP/1.1 with request signatures verified, objects kept as files in one folder, and faults that
/// a test can switch on.
///
/// It holds what a client of that service relies on (status codes, headers, error shapes, conditional
/// and ranged reads, multipart uploads, checksums) and nothing of its policies: every registered key
/// may do everything.
package io.penstock.emulator;
