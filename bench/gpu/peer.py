"""What other engines reach at the shape of Qwen2.5-7B with random weights, as the lines that table.py reads.

    peer.py transformers|vllm FORMAT MIX ROW ...    FORMAT: BF16, FP8_ROWS (vllm's own FP8), INT4 (GPTQ, groups of 128);
                                                    MIX: the list of requests; ROW: decode many contexts prefill mix start

Runs under a Python that has the engine. Times are of the engine's own offline call, prompts new for each; a step's time is
what many tokens take more than one.
"""
import csv
import json
import os
import random
import statistics
import sys
import tempfile
import time

BEGAN = time.time()
HIDDEN, LAYERS, HEADS, KV_HEADS, INTERMEDIATE, VOCABULARY = 3584, 28, 28, 4, 18944, 152064
LINEAR = [f"self_attn.{name}_proj" for name in "qkvo"] + [f"mlp.{name}_proj" for name in ("gate", "up", "down")]
CONFIG = dict(
    architectures=["Qwen2ForCausalLM"], model_type="qwen2", hidden_size=HIDDEN, num_hidden_layers=LAYERS,
    num_attention_heads=HEADS, num_key_value_heads=KV_HEADS, intermediate_size=INTERMEDIATE, vocab_size=VOCABULARY,
    hidden_act="silu", max_position_embeddings=32768, rms_norm_eps=1e-6, rope_theta=1e6, tie_word_embeddings=False,
    torch_dtype="bfloat16", bos_token_id=151643, eos_token_id=151645, use_cache=True, use_sliding_window=False)
GPTQ = dict(quant_method="gptq", bits=4, group_size=128, desc_act=False, sym=True, lm_head=True,
            modules_in_block_to_quantize=[LINEAR + ["lm_head"]])
NUMBERS = random.Random(1)
ENGINE, FORMAT = sys.argv[1], sys.argv[2]


def figure(row, value, unit, **more):
    print("FIGURE " + json.dumps(dict(engine=ENGINE, format=FORMAT, row=row, value=value, unit=unit, **more)), flush=True)


def prompts(lengths):
    return [[NUMBERS.randrange(100, 150000) for _ in range(length)] for length in lengths]


def steps(run, batch, context, count, repeats):
    """Milliseconds of a step while the context grows by `count`."""
    run([(context, 4)] * batch)
    one = statistics.median(run([(context, 1)] * batch) for _ in range(repeats))
    many = min(run([(context, count)] * batch) for _ in range(max(1, repeats - 1)))
    figure("decode", (many - one) / (count - 1) * 1e3, "ms", batch=batch, context=f"{context}-{context + count}")


def first_token(run, tokens):
    run([(tokens, 1)])
    figure("first token", statistics.median(run([(tokens, 1)]) for _ in range(7)) * 1e3, "ms", tokens=tokens)


def throughput(run, name, lengths):
    seconds = min(run(lengths) for _ in range(2))
    figure(name, sum(a + b for a, b in lengths) / seconds, "tok/s")


def vllm(rows):
    from vllm import LLM, SamplingParams
    folder = tempfile.mkdtemp()
    config = dict(CONFIG, quantization_config=GPTQ) if FORMAT == "INT4" else CONFIG
    with open(os.path.join(folder, "config.json"), "w") as file:
        json.dump(config, file)
    engine = LLM(
        model=folder, load_format="dummy", skip_tokenizer_init=True, dtype="bfloat16", seed=0, enable_prefix_caching=False,
        max_model_len=32768 if "contexts" in rows else 4096, gpu_memory_utilization=0.9,
        quantization={"BF16": None, "FP8_ROWS": "fp8", "INT4": None}[FORMAT])

    def run(lengths):
        asked = [{"prompt_token_ids": ids} for ids in prompts([prompt for prompt, _ in lengths])]
        wanted = [SamplingParams(temperature=0.0, max_tokens=out, ignore_eos=True, detokenize=False) for _, out in lengths]
        began = time.perf_counter()
        answers = engine.generate(asked, wanted, use_tqdm=False)
        seconds = time.perf_counter() - began
        assert [len(answer.outputs[0].token_ids) for answer in answers] == [out for _, out in lengths]
        return seconds

    run([(16, 1)])
    if "start" in rows:
        figure("start", time.time() - BEGAN, "s")
    measure(run, rows)


def transformers(rows):
    import torch
    from transformers import Qwen2Config, Qwen2ForCausalLM
    theirs = ("architectures", "model_type", "rope_theta", "torch_dtype")
    settings = {key: value for key, value in CONFIG.items() if key not in theirs}
    config = Qwen2Config(**settings, rope_parameters=dict(rope_type="default", rope_theta=1e6))
    config._attn_implementation = "sdpa"
    torch.set_default_dtype(torch.bfloat16)
    with torch.device("cuda"):
        model = Qwen2ForCausalLM(config).eval()
    model.generation_config.eos_token_id = None
    model.generation_config.pad_token_id = 0

    def run(lengths):
        ids = torch.tensor(prompts([prompt for prompt, _ in lengths]), device="cuda")
        out = lengths[0][1]
        torch.cuda.synchronize()
        began = time.perf_counter()
        with torch.inference_mode():
            answer = model.generate(
                ids, attention_mask=torch.ones_like(ids), max_new_tokens=out, min_new_tokens=out, do_sample=False)
        torch.cuda.synchronize()
        assert answer.shape[1] == ids.shape[1] + out
        return time.perf_counter() - began

    run([(16, 1)])
    if "start" in rows:
        figure("start", time.time() - BEGAN, "s")
    if "decode" in rows:
        steps(run, 1, 128, 512, 2)
    if "prefill" in rows:
        first_token(run, 2048)


def measure(run, rows):
    if "decode" in rows:
        steps(run, 1, 128, 512, 3)
    if "many" in rows:
        for batch in 8, 16, 64, 256:
            steps(run, batch, 128, 128, 2)
    if "prefill" in rows:
        for tokens in 128, 2048:
            first_token(run, tokens)
    if "mix" in rows:
        with open(sys.argv[3]) as file:
            requests = [(int(line["in_tokens"]), int(line["out_tokens"])) for line in csv.DictReader(file)]
        throughput(run, "mix of 500", requests)
        throughput(run, "256 x 512/256", [(512, 256)] * 256)
    if "contexts" in rows:
        for context in 8192, 32768:
            for batch in 1, 8:
                steps(run, batch, context - 128, 127, 2)


if __name__ == "__main__":
    {"vllm": vllm, "transformers": transformers}[ENGINE](sys.argv[4:])
