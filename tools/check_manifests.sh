#!/usr/bin/env bash
# Renders the Kustomize base and every overlay of the last build and checks each object against Kubernetes' schemas.
set -euo pipefail
cd "$(dirname "${BASH_SOURCE[0]}")/.."
cache=${PENSTOCK_CACHE:-$HOME/.cache/penstock}

for layer in base overlays/oke; do
    "$cache/bin/kustomize-5.7.1" build "deploy/target/kustomize/$layer" |
        "$cache/clients/bin/python" tools/validate_manifests.py "$layer"
done
