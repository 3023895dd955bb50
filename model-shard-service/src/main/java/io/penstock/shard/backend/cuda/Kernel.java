package io.penstock.shard.backend.cuda;

/// A kernel ready to be launched.
///
/// @param handle the driver's `CUfunction`
/// @param follows whether it may begin before the kernel ahead of it has ended, since it waits for that itself
record Kernel(String name, long handle, boolean follows) {}
