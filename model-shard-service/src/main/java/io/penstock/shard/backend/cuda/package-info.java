/// The CUDA backend: the driver through JCuda, what JCuda lacks or is slow at through the Foreign
/// Function API, kernels of our own from `src/main/cuda`.
package io.penstock.shard.backend.cuda;
