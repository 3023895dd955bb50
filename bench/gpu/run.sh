#!/bin/bash
# What a bare GPU machine can say of the CUDA backend, from a folder that pack.sh made: checks against transformers and
# against plain Java, compute-sanitizer, the memory's read ceiling, the decode and prefill figures, a yardstick where
# there is one.
#   run.sh STAGE ...      stages: kernels products gated contexts prompts small decode deterministic kv8 sanitizer models greedy bench mix profile times variants yardstick table; serve serve7b ranks fallbacks broken
# PACK: the folder (default: this file's). WORK: scratch. GGUF, GREEDY: a checkpoint and its yardstick of tokens.
# YARDSTICK: a .cu file that prints its own figures. table: all that is compared, in one table; its settings are in table.sh.
# serve and serve7b run all services: SERVICES is what pack_services.sh made, TOKENIZER a folder of Qwen2.5's, TP and DEVICES
# the ranks and their GPUs; SHAPE=1.5b SETTINGS=-Dtokens=120: for ranks that share a GPU, which gets to each in turns. ranks: sums
# between TP processes on DEVICES, and steps of large models with random weights.
set -u
PACK=${PACK:-$(cd "$(dirname "$0")" && pwd)}
WORK=${WORK:-/tmp/penstock}
mkdir -p "$WORK"
[ -d "$WORK/jre" ] || tar -C "$WORK" -xJf "$PACK/jre.txz"
libraries=$(for name in libcublasLt.so.13 libnvrtc.so.13 libcudart.so.13 libnccl.so.2; do
    find / -name "$name" -not -path '/proc/*' -printf '%h\n' 2>/dev/null | head -1
done | sort -u | paste -sd:)
export LD_LIBRARY_PATH=$libraries${LD_LIBRARY_PATH:+:$LD_LIBRARY_PATH}
home=$WORK/home
if [ -n "${SERVICES:-}" ] && [ ! -d "$home" ]; then tar -C "$WORK" -xJf "$SERVICES"; fi
if [ -d "$PACK/lib/shard" ]; then
    classes=$PACK/lib/shard:$PACK/lib/model:$(echo "$PACK"/lib/*.jar | tr ' ' ':')
else
    classes="$home/model-shard-service/target/test-classes:$home/model-shard-service/target/quarkus-app/app/*:$home/model-shard-service/target/quarkus-app/lib/main/*:$home/model-shard-service/target/quarkus-app/lib/boot/*"
fi
java() {
    timeout "${LIMIT:-150}" "${PREFIX[@]}" "$WORK/jre/bin/java" --enable-native-access=ALL-UNNAMED --add-modules jdk.incubator.vector -Xmx8g \
        -cp "$classes" io.penstock.shard.backend.cuda.GpuCheck "$@"
}
# What compute-sanitizer finds, each kind of it once: how often, where.
sanitized() {
    PREFIX=(compute-sanitizer --tool "$1" --num-cuda-barriers 64 --error-exitcode 9)
    echo "-- $*"
    JAVA_TOOL_OPTIONS=-Dpenstock.check.times=false java "${@:2}" >"$WORK/sanitized.log" 2>&1
    echo "     exit code $?, $(grep -c ^ok "$WORK/sanitized.log") ok"
    grep -E '^FAIL|SUMMARY|Exception' "$WORK/sanitized.log"
    grep -E '(Read|Write) access at|Invalid' "$WORK/sanitized.log" | sed -E 's/^=+ +//; s/\+0x[0-9a-f]+//g; s/ \[[0-9]+ hazards\]//' | sort | uniq -c | sort -rn | cut -c1-200
    PREFIX=()
}
# All services: what is served, from where, and what is to be seen.
services() {
    timeout "${LIMIT:-150}" "$WORK/jre/bin/java" --enable-native-access=ALL-UNNAMED --sun-misc-unsafe-memory-access=allow -Xmx2g ${SETTINGS:-} \
        -cp "$home/cli/target/test-classes:$home/cli/target/cli.jar:$home/cli/target/lib/*" io.penstock.cli.system.GpuServices \
        "${HOME_OF_SERVICES:-$home}" "$WORK/services/$1" "$1" "$2" "${TP:-1}" "${DEVICES:-0}" "${@:3}"
    grep -hE 'WARN |ERROR|FATAL|loaded layers|KV blocks|kernels|GB read|fatal' "$WORK/services/$1"/logs/shard*.log | cut -c1-300 | tail -"${LOG_LINES:-25}"
}
# Random models and what transformers makes of them; the last file that this version writes says whether all is there.
references() {
    [ -f "$WORK/ref/all-2" ] && return
    mkdir -p "$WORK/ref"
    python3 "$PACK/reference.py" "$WORK/ref" 2>&1 | grep -v Warn | tail -20
    [ -f "$WORK/ref/llama3.ref" ] && touch "$WORK/ref/all-2"
}
checkpoint() {
    # What the disk itself gives, and the page cache.
    [ -f "$WORK/qwen-$1/config.json" ] || python3 "$PACK/checkpoint.py" "$1" "$WORK/qwen-$1" "$TOKENIZER"
    local file
    file=$(ls -S "$WORK/qwen-$1"/*.safetensors | head -1)
    sync
    for i in 1 2 3 4; do dd if="$file" of=/dev/null bs=16M count=64 skip=$((64 * (i - 1))) iflag=direct 2>&1 | tail -1 & done | sed 's/^/disk, direct, one of four readers: /'
    wait
    dd if="$file" of=/dev/null bs=16M 2>&1 | tail -1 | sed 's/^/page cache, one reader: /'
}
PREFIX=()
nvidia-smi --query-gpu=name,driver_version,memory.total --format=csv,noheader
for stage in "$@"; do
    echo "== $stage"
    began=$(date +%s)
    case $stage in
    kernels) java kernels ;;
    products) java products ${VECTORS:-} ;;
    # Gates and ups of many vectors: beside cuBLASLt and the kernel that joins them.
    gated) java gated ;;
    # Attention of many rows and of long contexts: against the plain kernel, and how near the memory's rate.
    contexts) java contexts ;;
    # Each kernel between products and attention alone, and sampling: microseconds, and what rate their bytes pass at.
    small) java small ;;
    # Attention of prompts: against the plain kernel, and how near the tensor cores' rate.
    prompts) java prompts ;;
    sanitizer)
        references
        for what in kernels contexts prompts "model $WORK/ref/qwen2.gguf $WORK/ref/qwen2.ref"; do sanitized memcheck $what; done
        # docs/cuda.md says what racecheck takes for races.
        for what in "products 16 17 64 128" contexts prompts kernels "model $WORK/ref/qwen2.gguf $WORK/ref/qwen2.ref"; do sanitized racecheck $what; done
        ;;
    models)
        references
        for name in qwen2 qwen2-128 qwen2-ranks qwen3 llama3; do java model "$WORK/ref/$name${FORMAT-.gguf}" "$WORK/ref/$name.ref"; done
        # Kept as they are stored.
        for stored in fp8,FP8_BLOCKS fp8rows,FP8_ROWS gptq,INT4_ZEROS gptqsym,INT4; do
            name=qwen2-128-${stored%,*}
            java model "$WORK/ref/$name" "$WORK/ref/$name.ref" "${stored#*,}"
        done
        JAVA_TOOL_OPTIONS=-Dpenstock.check.activations=FP8 java model "$WORK/ref/qwen2-128-fp8rows" "$WORK/ref/qwen2-128-fp8rows-a8.ref"
        ;;
    kv8)
        # Keys and values in e4m3, held against transformers' own so rounded; the same bits where those are asked for.
        references
        for name in qwen2 qwen2-128 qwen3 llama3; do
            JAVA_TOOL_OPTIONS=-Dpenstock.check.kv=FP8 java model "$WORK/ref/$name${FORMAT-.gguf}" "$WORK/ref/$name-kv8.ref"
        done
        JAVA_TOOL_OPTIONS=-Dpenstock.check.kv=FP8 java deterministic
        java kv-blocks
        ;;
    deterministic) java deterministic ;;
    greedy) java greedy "$GGUF" "$GREEDY" ;;
    decode) for format in ${CHECKED:-BF16 FP8_ROWS FP8_BLOCKS INT4 INT4_ZEROS}; do java decode $format; done ;;
    bench)
        for format in ${FORMATS:-BF16 FP8_ROWS INT4}; do
            JAVA_TOOL_OPTIONS="-Dpenstock.bench.format=$format ${BENCH_OPTIONS:-}" java bench ${BATCHES:-1 2 4 8 16 64} 2>&1 | grep -v "WARN\|Picked"
        done
        ;;
    mix)
        for format in ${FORMATS:-BF16 FP8_ROWS}; do
            JAVA_TOOL_OPTIONS="-Dpenstock.bench.format=$format ${BENCH_OPTIONS:-}" java mix "$PACK/mix500.csv" 2>&1 | grep -v "WARN\|Picked\|^INFO\|CudaBackend"
        done
        ;;
    profile)
        # Where a step spends its time: kernels by name, microseconds in all, how many. PROFILED is the step, from 1 on: of
        # BATCHES sequences of PROMPT tokens; BATCHES=4 PROMPT=2048 PROFILED=2 is one that is all prompt.
        for batch in ${BATCHES:-64 256}; do
            echo "-- batch $batch"
            PREFIX=(ncu --profile-from-start off --clock-control none --cache-control none --csv --metrics gpu__time_duration.sum)
            JAVA_TOOL_OPTIONS="-Dpenstock.bench.profiled-step=${PROFILED:-50} -Dpenstock.bench.format=${FORMATS:-BF16} ${BENCH_OPTIONS:-}" java profile "$batch" "${PROMPT:-128}" 2>&1 | tee "$WORK/profile.log" |
                python3 "$PACK/kernels.py"
            PREFIX=()
            grep -m 1 -A 2 'Exception in' "$WORK/profile.log"
        done
        ;;
    times)
        # The same by events between kernels, at the clocks of a device under load: prompts (0) or steps of so many
        # sequences, and how many tokens; early and after many.
        for format in ${FORMATS:-BF16 FP8_ROWS}; do
            for step in ${TIMES:-0,2048 256,192}; do
                echo "-- $format $step"
                JAVA_TOOL_OPTIONS="-Dpenstock.bench.format=$format ${BENCH_OPTIONS:-}" java times "${step%,*}" "${step#*,}" 2>&1 |
                    grep -v "WARN\|Picked\|^INFO\|CudaBackend"
            done
        done
        ;;
    variants)
        # Other tilings of the decode kernel, compiled here: name, warps, whether to trace, more options.
        for variant in ${VARIANTS:-plain,7,0 trace,7,1}; do
            IFS=, read -r label warps trace more <<<"$variant"
            nvcc -O3 -std=c++17 -cubin -gencode arch=compute_90a,code=sm_90a "-DTILING_WARPS=$warps" "-DTILING_TRACE=$trace" \
                $more -o "$PACK/lib/shard/cuda/decode_$label.sm_90a.cubin" "$PACK/lib/shard/cuda/decode.cu" &
        done
        wait
        for variant in ${VARIANTS:-plain,7,0 trace,7,1}; do
            IFS=, read -r label warps trace more <<<"$variant"
            name=decode_$label
            for format in ${FORMATS:-BF16 FP8_ROWS INT4}; do
                echo "-- $variant $format"
                JAVA_TOOL_OPTIONS="-Dpenstock.cuda.decode-tiling=$name,$warps -Dpenstock.bench.format=$format -Dpenstock.bench.steps=${STEPS:-97}" java bench ${VARIANT_BATCHES:-1} 2>&1 | grep -v "WARN\|Picked"
            done
        done
        ;;
    ranks)
        # One process a rank, TP x PP of them; SEEN: stages of GpuRanks; MEETING: IPC, NCCL, TCP.
        ranks=$((${TP:-2} * ${PP:-1}))
        IFS=, read -r -a devices <<<"${DEVICES:-0}"
        for ((rank = ranks - 1; rank >= 0; rank--)); do
            timeout "${LIMIT:-150}" "$WORK/jre/bin/java" --enable-native-access=ALL-UNNAMED --add-modules jdk.incubator.vector -Xmx4g \
                "-Dpenstock.ranks.meeting=${MEETING:-IPC}" "-Dpenstock.ranks.many-kernels=${MANY_KERNELS:-false}" -cp "$classes" io.penstock.shard.backend.cuda.GpuRanks "$rank" \
                "${TP:-2}x${PP:-1}" "${devices[rank % ${#devices[@]}]}" "${PORT:-29600}" ${SEEN:-sums lost} >"$WORK/rank$rank.log" 2>&1 &
        done
        wait
        for ((rank = 0; rank < ranks; rank++)); do echo "-- rank $rank"; grep -vE "WARN|^INFO|CudaBackend configure|PeerListener park" "$WORK/rank$rank.log" | tail -"${LOG_LINES:-40}"; done
        ;;
    serve) services smollm2-135m-instruct "$GGUF" ${SEEN:-references start kill} ;;
    fallbacks)
        # Without machine code, then without PTX either.
        for left in ptx sources; do
            python3 "$PACK/altered.py" "$home" "$WORK/home-$left" "$left"
            echo "-- $left alone"
            PENSTOCK_CACHE=$WORK/cache-$left HOME_OF_SERVICES=$WORK/home-$left services smollm2-135m-instruct "$GGUF" references start
        done
        ;;
    broken)
        # A kernel that traps at one position of a sequence: the context is lost in mid-stream.
        python3 "$PACK/altered.py" "$home" "$WORK/home-broken" broken
        HOME_OF_SERVICES=$WORK/home-broken services smollm2-135m-instruct "$GGUF" supervise
        ;;
    serve7b)
        checkpoint "${SHAPE:-7b}"
        services "qwen-${SHAPE:-7b}" "file://$WORK/qwen-${SHAPE:-7b}" ${SEEN:-rate start kill}
        ;;
    yardstick)
        nvcc -O3 -std=c++17 -gencode arch=compute_90a,code=sm_90a -o "$WORK/yardstick" "$YARDSTICK" && "$WORK/yardstick"
        ;;
    table)
        . "$PACK/table.sh"
        table
        ;;
    *) echo "no stage $stage" ;;
    esac
    echo "== $stage took $(($(date +%s) - began)) s"
done
