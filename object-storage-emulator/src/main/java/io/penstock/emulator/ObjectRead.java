package io.penstock.emulator;

/// One GET of an object's bytes, as faults choose by and as the traffic record keeps.
///
/// @param offset first byte that was asked for
/// @param length count of bytes that were asked for
public record ObjectRead(String bucket, String object, long offset, long length) {}
