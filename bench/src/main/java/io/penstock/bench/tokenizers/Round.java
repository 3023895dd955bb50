package io.penstock.bench.tokenizers;

/// All texts encoded once.
///
/// @param ids CRC-32 of all ids, four bytes each, the lowest first
record Round(double seconds, long ids) {}
