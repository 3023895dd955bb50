#!/usr/bin/env bash
# Compiles the kernels to PTX: for Hopper into model-shard-service/target/ptx, from where tests run them on the CPU
# (TestInterpretedKernels); for A100s to see that they compile. What was compiled once is kept by its sources' checksum in
# $PENSTOCK_CACHE/ptx.
#   tools/cuda/ptx.sh [output folder]
set -euo pipefail
root=$(cd "$(dirname "${BASH_SOURCE[0]}")/../.." && pwd)
sources=$root/model-shard-service/src/main/cuda
out=${1:-$root/model-shard-service/target/ptx}
cache=${PENSTOCK_CACHE:-$HOME/.cache/penstock}/ptx
nvcc=$("$root/tools/cuda/nvcc.sh")

mkdir -p "$out" "$cache"
headers=$(cat "$sources"/*.cuh "${BASH_SOURCE[0]}" | sha256sum)
version=$("$nvcc" --version)
compile() {
    local name=${1%.*} target=${1#*.} key kept
    key=$( (echo "$headers $version" && cat "$sources/$name.cu") | sha256sum | cut -c1-32)
    kept=$cache/$name.$target.$key.ptx
    if [ ! -f "$kept" ]; then
        "$nvcc" -O3 -std=c++17 -Werror all-warnings -ptx -arch="$target" -o "$kept.$$" "$sources/$name.cu"
        mv "$kept.$$" "$kept"
    fi
    if [ "$target" = compute_90a ]; then
        cp "$kept" "$out/$name.$target.ptx"
    fi
}
export -f compile
export headers version nvcc sources out cache
# The longest first.
for name in decode $(cd "$sources" && ls -- *.cu | sed 's/\.cu$//' | grep -vx decode); do
    # A source may name the only architectures it is written for.
    targets=$(sed -n 's|^// targets: ||p' "$sources/$name.cu")
    for target in ${targets:-sm_80 sm_90a}; do
        echo "$name.compute_${target#sm_}"
    done
done | xargs -P "$(nproc)" -I{} bash -euo pipefail -c 'compile {}'
