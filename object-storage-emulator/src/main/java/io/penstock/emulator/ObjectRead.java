package io.penstock.emulator;

/// One GET of an object's bytes, as faults choose by and as the traffic record keeps.
///
/// @param offset first byte that was asked for
/// @param length count of bytes that were asked for
/// @param connection number of the connection that it came by, counted from 0
public record ObjectRead(String bucket, String object, long offset, long length, int connection) {}
