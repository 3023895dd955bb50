#!/bin/sh
# Says where nvcc is: in $CUDA_HOME, on the PATH, in /usr/local/cuda, among Python's packages ($PYTHON, python3), or
# among what tools/fetch.sh nvcc has fetched.
set -eu
for candidate in "${CUDA_HOME:-/nonexistent}/bin/nvcc" "$(command -v nvcc || true)" /usr/local/cuda/bin/nvcc; do
    [ -x "$candidate" ] && echo "$candidate" && exit
done
for python in "${PYTHON:-python3}" python3 "${PENSTOCK_CACHE:-$HOME/.cache/penstock}/nvcc/bin/python"; do
    "$python" - 2>/dev/null <<'PY' && exit
import os, sys
for folder in sys.path:
    nvcc = os.path.join(folder, "nvidia", "cu13", "bin", "nvcc")
    if os.access(nvcc, os.X_OK):
        print(nvcc)
        sys.exit(0)
sys.exit(1)
PY
done
echo "no nvcc in \$CUDA_HOME, on the PATH, in /usr/local/cuda, among Python's packages, nor fetched by tools/fetch.sh nvcc" >&2
exit 1
