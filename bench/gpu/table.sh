#!/bin/bash
# Stage table of run.sh, which sources this: everything that is compared, as one table (table.py) in TABLE (default:
# $WORK/table); a copy goes to $OUT where that is set. Figures add up over calls on one machine. ROWS says which rows are
# measured, FORMATS (BF16 FP8_ROWS INT4) of which weights. Seconds, about, of a 7B model's shape on an H200, all formats together:
#   machine 10, decode 75, many 40, contexts 35 (bf16 alone), prefill 15, mix 75 (not int4), and 10 a format for starting;
#   idle 60 (bf16 alone; needs ncu), start 90 (a checkpoint of 15 GB is written first; CHECKPOINT: one that is there),
#   yardstick 60 (YARDSTICK: a .cu file whose lines are "bf16: 3.4 ms a step"), transformers 60, vllm 170 for each of VLLM_FORMATS.
# VLLM: what starts a Python that has vLLM, such as "env PYTHONPATH=site python3"; without it that row is left out.
# BENCH_OPTIONS=-Dpenstock.bench.kv=FP8 FORMATS=BF16 ROWS=contexts adds the same contexts with keys and values in e4m3.
# Two calls of ten minutes: ROWS="machine decode many contexts prefill mix start", ROWS="idle yardstick transformers vllm".

# What a command says of figures goes to the table's; the rest is shown without logs.
figures() {
    awk -v to="$TABLE/figures.jsonl" '
        /^FIGURE / { print substr($0, 8) >> to; fflush(to); next }
        /WARN|Picked|^INFO|CudaBackend/ { next }
        { print; fflush() }'
}
# A figure of one sequence or of a whole folder: engine, row, format, value, unit, more fields.
figure() { echo "FIGURE {\"engine\":\"$1\",\"row\":\"$2\",\"format\":\"$3\",\"value\":$4,\"unit\":\"$5\"${6:-}}"; }

# Plain copies of a folder's weight files, four readers at once: what the disk gives, then what the page cache does.
plain_copies() {
    local bytes row flag begun
    bytes=$(cat "$1"/*.safetensors | wc -c)
    for row in disk "page cache"; do
        flag=fullblock
        [ "$row" = disk ] && flag=direct
        begun=$(date +%s%N)
        printf '%s\0' "$1"/*.safetensors | xargs -0 -P4 -I{} dd if={} of=/dev/null bs=16M iflag=$flag status=none
        figure dd "dd, $row" BF16 "$(awk -v b="$bytes" -v n="$(($(date +%s%N) - begun))" 'BEGIN { printf "%.3f", b / n }')" GB/s
    done
}

# Our own rows of one kind of weights, in one process; FP8 ones with FP8 vectors, as vLLM has them.
own_rows() {
    local format=$1 row rows=() options="-Dpenstock.bench.format=$1 ${BENCH_OPTIONS:-}"
    shift
    for row in "$@"; do
        case $row,$format in contexts,FP8* | contexts,INT4 | mix,INT4) ;; *) rows+=("$row") ;; esac
    done
    [ ${#rows[@]} -gt 0 ] || return
    [ "$format" = FP8_ROWS ] && options="$options -Dpenstock.bench.activations=FP8"
    JAVA_TOOL_OPTIONS=$options LIMIT=${LIMIT:-300} java table "$PACK/mix500.csv" "${rows[@]}" 2>&1 | figures
}

idle_row() {
    local batch
    for batch in 1 64; do
        # A step at a context of 160, in the midst of those that are timed.
        PREFIX=(ncu --profile-from-start off --clock-control none --cache-control none --csv --metrics gpu__time_duration.sum)
        JAVA_TOOL_OPTIONS="-Dpenstock.bench.profiled-step=34" java profile "$batch" 128 2>&1 |
            python3 "$PACK/kernels.py" BF16 "$batch" 128-192 | figures
        PREFIX=()
    done
    own_rows BF16 idle
}

start_row() {
    local folder=${CHECKPOINT:-$WORK/qwen-7b} file
    [ -f "$folder/config.json" ] || python3 "$PACK/checkpoint.py" 7b "$folder" "${TOKENIZER:-}"
    sync
    # Once from the disk, once from the page cache.
    for file in "$folder"/*.safetensors; do dd if="$file" iflag=nocache count=0 status=none; done
    {
        java start "$folder" disk
        plain_copies "$folder"
        java start "$folder" "page cache"
    } 2>&1 | figures
}

yardstick_row() {
    [ -n "${YARDSTICK:-}" ] || { echo "     no YARDSTICK" && return; }
    [ -x "$WORK/yardstick" ] || nvcc -O3 -std=c++17 -gencode arch=compute_90a,code=sm_90a -o "$WORK/yardstick" "$YARDSTICK"
    "$WORK/yardstick" | sed -nE 's/^.*(bf16|fp8|int4)[^:]*: ([0-9.]+) ms a step.*/\1 \2/p' |
        sed 's/bf16/BF16/; s/fp8/FP8_ROWS/; s/int4/INT4/' | while read -r format value; do
        figure yardstick decode "$format" "$value" ms ',"batch":1,"context":"128-640"'
    done | figures
}

vllm_row() {
    [ -n "${VLLM:-}" ] || { echo "     no VLLM" && return; }
    local format
    for format in ${VLLM_FORMATS:-BF16 FP8_ROWS}; do
        # VLLM falls into words: it is a command with its arguments.
        timeout -k 5 "${VLLM_LIMIT:-280}" $VLLM "$PACK/peer.py" vllm "$format" "$PACK/mix500.csv" \
            ${VLLM_ROWS:-start decode many prefill mix} 2>"$TABLE/vllm-$format.log" | figures
        grep -iE 'error|exception' "$TABLE/vllm-$format.log" | tail -n 3 | cut -c1-200
    done
}

table() {
    TABLE=${TABLE:-$WORK/table}
    mkdir -p "$TABLE"
    touch "$TABLE/figures.jsonl"
    local own=() rest=() row format begun
    for row in ${ROWS:-machine decode many contexts prefill mix start idle yardstick transformers vllm}; do
        case $row in
        machine | decode | many | contexts | prefill | mix) own+=("$row") ;;
        idle | start | yardstick | transformers | vllm) rest+=("$row") ;;
        *) echo "no row $row" ;;
        esac
    done
    for format in ${FORMATS:-BF16 FP8_ROWS INT4}; do
        [ ${#own[@]} -eq 0 ] || own_rows "$format" "${own[@]}"
    done
    for row in "${rest[@]}"; do
        begun=$(date +%s)
        case $row in
        transformers)
            timeout "${LIMIT:-150}" python3 "$PACK/peer.py" transformers BF16 "$PACK/mix500.csv" start decode prefill \
                2>"$TABLE/transformers.log" | figures
            grep -iE 'error|exception' "$TABLE/transformers.log" | tail -n 3 | cut -c1-200
            ;;
        *) "${row}_row" ;;
        esac
        echo "     $row: $(($(date +%s) - begun)) s"
    done
    python3 "$PACK/table.py" "$TABLE/figures.jsonl" "$TABLE/table"
    [ -z "${OUT:-}" ] || cp -r "$TABLE" "$OUT/"
}
