#!/usr/bin/env bash
# Lets Jazzer look for input that breaks a reader of foreign bytes: ten minutes a target, or as long as it is told.
#   tools/fuzz.sh [target ...]     targets are the methods of model's FuzzTargets; none means all
# What breaks is written beside the tests; what covers more stays in model/.cifuzz-corpus for the next run.
set -euo pipefail
cd "$(dirname "$0")/.."
targets=("$@")
if [ ${#targets[@]} -eq 0 ]; then
    targets=(safetensors gguf config tokenizer template answer)
fi
for target in "${targets[@]}"; do
    echo "fuzzing $target"
    JAZZER_FUZZ=1 ./mvnw -B -q -ntp -pl model -am test -Dtest="FuzzTargets#$target" \
        -Dsurefire.failIfNoSpecifiedTests=false
done
