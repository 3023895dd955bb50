#!/bin/sh
# Compiles the kernels for the devices we serve into model-shard-service/target/cuda, from where the Maven build packs
# them: machine code for sm_80 and sm_90a, and compute_80 PTX for what comes later. Needs nvcc (CUDA 12.4 or newer), in
# $CUDA_HOME, on the PATH, or from PyPI (see docs/cuda.md); no GPU.
#   tools/cuda/build.sh [output folder]
set -eu
root=$(cd "$(dirname "$0")/../.." && pwd)
sources=$root/model-shard-service/src/main/cuda
out=${1:-$root/model-shard-service/target/cuda}

find_nvcc() {
    for candidate in "${CUDA_HOME:-/nonexistent}/bin/nvcc" "$(command -v nvcc || true)" /usr/local/cuda/bin/nvcc; do
        [ -x "$candidate" ] && echo "$candidate" && return
    done
    for python in "${PYTHON:-python3}" python3; do
        "$python" - 2>/dev/null <<'PY' && return
import os, sys
for folder in sys.path:
    nvcc = os.path.join(folder, "nvidia", "cu13", "bin", "nvcc")
    if os.access(nvcc, os.X_OK):
        print(nvcc)
        sys.exit(0)
sys.exit(1)
PY
    done
    return 1
}

nvcc=$(find_nvcc) || {
    echo "tools/cuda/build.sh: no nvcc in \$CUDA_HOME, on the PATH, in /usr/local/cuda or among Python's packages" >&2
    exit 1
}
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
