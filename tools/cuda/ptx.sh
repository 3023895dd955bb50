#!/usr/bin/env bash
# Compiles the kernels to PTX for Hopper, which tests run on the CPU (TestInterpretedKernels): into
# model-shard-service/target/ptx. What was compiled once is kept by its sources' checksum in $PENSTOCK_CACHE/ptx.
#   tools/cuda/ptx.sh [output folder]
set -euo pipefail
root=$(cd "$(dirname "${BASH_SOURCE[0]}")/../.." && pwd)
sources=$root/model-shard-service/src/main/cuda
out=${1:-$root/model-shard-service/target/ptx}
cache=${PENSTOCK_CACHE:-$HOME/.cache/penstock}/ptx
nvcc=$("$root/tools/cuda/nvcc.sh")
# Tests launch nothing else.
kernels=(attention contexts decode elementwise gemm gemm_widening gemv prompts sampling weights)

mkdir -p "$out" "$cache"
headers=$(cat "$sources"/*.cuh "${BASH_SOURCE[0]}" | sha256sum)
compile() {
    local name=$1 key kept
    key=$( (echo "$headers" && "$nvcc" --version && cat "$sources/$name.cu") | sha256sum | cut -c1-32)
    kept=$cache/$name.$key.ptx
    if [ ! -f "$kept" ]; then
        "$nvcc" -O3 -std=c++17 -Werror all-warnings -ptx -arch=compute_90a -o "$kept.$$" "$sources/$name.cu"
        mv "$kept.$$" "$kept"
    fi
    cp "$kept" "$out/$name.compute_90a.ptx"
}
# The longest one beside all others.
compile decode &
decode=$!
for name in "${kernels[@]}"; do
    [ "$name" = decode ] || compile "$name"
done
wait "$decode"
