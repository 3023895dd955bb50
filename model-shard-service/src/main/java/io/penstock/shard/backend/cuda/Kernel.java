package io.penstock.shard.backend.cuda;

/// A kernel ready to be launched.
///
/// @param handle the driver's `CUfunction`
record Kernel(String name, long handle) {}
