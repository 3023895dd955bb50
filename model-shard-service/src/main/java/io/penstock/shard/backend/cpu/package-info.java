/// The CPU backend: a Llama-architecture forward pass over weights repacked for vectors and a paged KV
/// cache.
///
/// What makes a token's logits independent of what else a step computes, of how a prompt was cut into
/// chunks, of the number of threads and of the width of a vector: every sum has one order, given by
/// [io.penstock.shard.backend.cpu.Kernels] and spelled out by
/// [io.penstock.shard.backend.cpu.ScalarKernels]. Vectors hold things that do not meet in a sum (rows
/// of a matrix, positions of a sequence, elements of a head), so their width changes nothing.
package io.penstock.shard.backend.cpu;
