#!/bin/sh
# Compiles the kernels for the devices we serve into model-shard-service/target/cuda, from where the Maven build packs
# them: machine code for sm_80 and sm_90a, and compute_80 PTX for what comes later. Needs nvcc (CUDA 12.4 or newer), in
# $CUDA_HOME, on the PATH, or from PyPI (see docs/cuda.md); no GPU.
#   tools/cuda/build.sh [output folder]
set -eu
root=$(cd "$(dirname "$0")/../.." && pwd)
sources=$root/model-shard-service/src/main/cuda
out=${1:-$root/model-shard-service/target/cuda}

nvcc=$("$root/tools/cuda/nvcc.sh")
mkdir -p "$out"
for source in "$sources"/*.cu; do
    name=$(basename "$source" .cu)
    # A source may name the only architectures it is written for.
    targets=$(sed -n 's|^// targets: ||p' "$source")
    for target in ${targets:-sm_80 sm_90a}; do
        "$nvcc" -O3 -std=c++17 -Werror all-warnings -cubin \
            -gencode "arch=compute_${target#sm_},code=$target" -o "$out/$name.$target.cubin" "$source"
    done
    [ -n "$targets" ] || "$nvcc" -O3 -std=c++17 -Werror all-warnings -ptx -arch=compute_80 -o "$out/$name.compute_80.ptx" "$source"
done
ls -l "$out"
