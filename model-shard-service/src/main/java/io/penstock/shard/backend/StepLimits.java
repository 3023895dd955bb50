package io.penstock.shard.backend;

/// Bounds of every step of an epoch; all step memory is sized by them.
///
/// @param blockSize tokens a KV block
/// @param maxSequences slots, numbered from 0
/// @param maxStepTokens tokens over all rows of a step
/// @param maxLength tokens of the longest sequence, prompt included
public record StepLimits(int blockSize, int maxSequences, int maxStepTokens, int maxLength) {}
