/// Runs the PTX of our kernels on the CPU: exactly, with every access checked, so that what a kernel computes is tested
/// where there is no GPU.
package io.penstock.shard.backend.cuda.ptx;
