#!/usr/bin/env python3
"""Tiny random models of each architecture, and what transformers makes of them in float32.

    pip install torch==2.15.0 transformers==5.24.0 safetensors==0.8.0 numpy==2.4.6
    python tools/references/architectures.py model-shard-service/src/test/resources/io/penstock/shard/backend/cpu/tiny

One folder a model: config.json as a user would have it; tensors.json, by which each side makes the weights for itself,
for random ones do not compress; and reference.json: for prompts of 1, 7, 64 and 300 tokens the 32 tokens that follow
greedily, each with the log-probabilities of the best of them, the spread of the logits, and the distance between the
two best.

tensors.json has of each tensor of model.safetensors the name, type, shape and two numbers: element i of a tensor of
floats is their first plus their second times k / 128, k the signed upper byte of `mixed(name)[i]`. Types without
numbers are codes: bytes of it, or words.
"""

import json
import pathlib
import shutil
import sys

import numpy as np
import torch
import transformers
from safetensors.torch import load_file, save_file
from transformers import AutoConfig, AutoModelForCausalLM, DynamicCache

VOCABULARY = 160
LENGTHS = [1, 7, 64, 300]
GREEDY = 32
TOP = 8
COMMON = {
    "vocab_size": VOCABULARY,
    "hidden_size": 96,
    "intermediate_size": 160,
    "num_hidden_layers": 3,
    "num_attention_heads": 6,
    "num_key_value_heads": 3,
    "max_position_embeddings": 512,
    "tie_word_embeddings": False,
    "bos_token_id": None,
    "eos_token_id": None,
    "pad_token_id": None,
}
LATENT = {
    "num_attention_heads": 4,
    "num_key_value_heads": 4,
    "kv_lora_rank": 24,
    "qk_nope_head_dim": 12,
    "qk_rope_head_dim": 8,
    "v_head_dim": 20,
    "n_routed_experts": 16,
    "num_experts_per_tok": 4,
    "moe_intermediate_size": 32,
    "n_shared_experts": 4,
    "n_group": 4,
    "topk_group": 2,
}
YARN = {"rope_type": "yarn", "factor": 8.0, "original_max_position_embeddings": 64, "beta_fast": 32, "beta_slow": 1, "rope_theta": 10000.0}
LONG_ROPE = {
    "rope_type": "longrope", "rope_theta": 10000.0,
    "short_factor": [1.0, 1.0, 1.1, 1.15, 1.2, 1.3, 1.45, 1.6], "long_factor": [1.0, 1.2, 1.7, 2.5, 4.0, 6.5, 9.0, 12.5],
}
LENGTHS_OF = {"phi3-longrope-long": [49, 57, 64, 300], "qwen2-dynamic-long": [1, 40, 48, 150]}
# With a cache, as `generate` does: keys stay as they were turned when they came.
CACHED = {"qwen2-dynamic-long"}
MODELS = {
    "llama": ("llama", {"head_dim": 16, "tie_word_embeddings": True}),
    "llama3-rope": ("llama", {"head_dim": 16, "rope_parameters": {
        "rope_type": "llama3", "factor": 8.0, "low_freq_factor": 1.0, "high_freq_factor": 4.0,
        "original_max_position_embeddings": 64, "rope_theta": 500000.0}}),
    "mistral-linear": ("mistral", {"head_dim": 16, "sliding_window": None, "rope_parameters": {
        "rope_type": "linear", "factor": 4.0, "rope_theta": 10000.0}}),
    "phi3": ("phi3", {"sliding_window": None, "original_max_position_embeddings": 512}),
    # Of two lists of divisors that which the longest sequence asks for; all prompts are of one kind.
    "phi3-longrope": ("phi3", {"sliding_window": None, "original_max_position_embeddings": 384, "rope_parameters": LONG_ROPE}),
    "phi3-longrope-long": ("phi3", {"sliding_window": None, "original_max_position_embeddings": 48, "rope_parameters": LONG_ROPE}),
    "qwen2-yarn": ("qwen2", {"use_sliding_window": False, "num_attention_heads": 4, "num_key_value_heads": 2, "rope_parameters": YARN}),
    "qwen2-dynamic": ("qwen2", {"use_sliding_window": False, "num_attention_heads": 4, "num_key_value_heads": 2, "rope_parameters": {
        "rope_type": "dynamic", "factor": 4.0, "rope_theta": 10000.0}}),
    "qwen2-dynamic-long": ("qwen2", {"use_sliding_window": False, "num_attention_heads": 4, "num_key_value_heads": 2,
        "max_position_embeddings": 48, "rope_parameters": {"rope_type": "dynamic", "factor": 4.0, "rope_theta": 10000.0}}),
    "qwen3": ("qwen3", {"head_dim": 24, "use_sliding_window": False}),
    "qwen3-moe": ("qwen3_moe", {
        "head_dim": 24, "num_experts": 8, "num_experts_per_tok": 3, "moe_intermediate_size": 32, "norm_topk_prob": True,
        "mlp_only_layers": [], "decoder_sparse_step": 1}),
    "deepseek-v2": ("deepseek_v2", LATENT | {
        "q_lora_rank": None, "first_k_dense_replace": 1, "topk_method": "group_limited_greedy",
        "routed_scaling_factor": 4.0, "norm_topk_prob": False}),
    "deepseek-v3": ("deepseek_v3", LATENT | {
        "q_lora_rank": 40, "first_k_dense_replace": 1, "routed_scaling_factor": 2.5, "norm_topk_prob": True,
        "rope_parameters": YARN | {"mscale": 1.0, "mscale_all_dim": 1.0}}),
}
# The same with the weights of linear layers quantised: what transformers computes with is what they decode to.
QUANTISED = {
    "deepseek-v3-fp8": ("deepseek-v3", "fp8"),
    "qwen3-gptq": ("qwen3", "gptq"),
}


def mixed(name, count):
    """SplitMix64 (Steele, Lea, Flood 2014), its state at first the FNV-1a hash of the name."""
    state = 0xCBF29CE484222325
    for byte in name.encode():
        state = (state ^ byte) * 0x100000001B3 & 0xFFFFFFFFFFFFFFFF
    with np.errstate(over="ignore"):
        z = np.uint64(state) + np.arange(1, count + 1, dtype=np.uint64) * np.uint64(0x9E3779B97F4A7C15)
        z = (z ^ (z >> np.uint64(30))) * np.uint64(0xBF58476D1CE4E5B9)
        z = (z ^ (z >> np.uint64(27))) * np.uint64(0x94D049BB133111EB)
    return z ^ (z >> np.uint64(31))


TYPES = {torch.bfloat16: "BF16", torch.float16: "F16", torch.float32: "F32", torch.float8_e4m3fn: "F8_E4M3", torch.int32: "I32"}


class Made:
    """Tensors by their recipes."""

    def __init__(self):
        self.tensors, self.recipes = {}, []

    def add(self, name, dtype, shape, *numbers):
        bits = mixed(name, int(np.prod(shape)))
        if dtype == torch.float8_e4m3fn:
            codes = (bits >> np.uint64(56)).astype(np.uint8)
            # No NaN.
            codes[codes & 0x7F == 0x7F] ^= 0x40
            made = torch.from_numpy(codes).view(dtype)
        elif dtype == torch.int32 and numbers:
            # The group of each of the first number of inputs, seven steps on for each, groups of the second number.
            made = torch.tensor([i * 7 % numbers[0] // numbers[1] for i in range(numbers[0])], dtype=dtype)
        elif dtype == torch.int32:
            made = torch.from_numpy((bits & np.uint64(0xFFFFFFFF)).astype(np.uint32).view(np.int32))
        else:
            signed = (bits >> np.uint64(56)).astype(np.int8).astype(np.float64)
            made = torch.from_numpy((numbers[0] + numbers[1] * signed / 128).astype(np.float32)).to(dtype)
        self.tensors[name] = made.reshape(shape)
        self.recipes.append([name, TYPES[dtype], list(shape), *numbers])
        return self.tensors[name]

    def plain(self, name, dtype, shape):
        if len(shape) == 1:
            norm = "norm" in name
            self.add(name, dtype, shape, 1.0 if norm else 0.0, 0.17 if norm or "correction" in name else 0.5)
        else:
            self.add(name, dtype, shape, 0.0, round(2.6 / shape[-1] ** 0.5, 4))


def is_linear(name, value):
    return value.dim() == 2 and name.endswith("_proj.weight") or name.endswith("kv_a_proj_with_mqa.weight")


def fp8(made, name, rows, columns):
    codes = made.add(name, torch.float8_e4m3fn, (rows, columns))
    size = round(1 / (150 * columns**0.5), 7)
    scale = made.add(name + "_scale_inv", torch.float32, (-(-rows // 128), -(-columns // 128)), size, size / 2)
    return codes.float() * scale.repeat_interleave(128, 0)[:rows].repeat_interleave(128, 1)[:, :columns]


def gptq(made, name, rows, columns, group=16):
    module = name.removesuffix("weight")
    words = made.add(module + "qweight", torch.int32, (columns // 8, rows))
    zeros = made.add(module + "qzeros", torch.int32, (columns // group, rows // 8))
    size = round(0.25 / columns**0.5, 5)
    scales = made.add(module + "scales", torch.float16, (columns // group, rows), size, size / 2).float()
    order = made.add(module + "g_idx", torch.int32, (columns,), columns, group).long()
    shifts = torch.arange(0, 32, 4)
    codes = (words[:, None, :] >> shifts[None, :, None] & 15).reshape(columns, rows)
    # One less than what is meant was written, of 0 the greatest.
    offsets = ((zeros[:, :, None] >> shifts) + 1 & 15).reshape(columns // group, rows)
    return ((codes - offsets[order]) * scales[order]).T.contiguous()


SCHEMES = {
    "fp8": (fp8, {"quant_method": "fp8", "fmt": "e4m3", "weight_block_size": [128, 128], "activation_scheme": "dynamic"}),
    "gptq": (gptq, {"quant_method": "gptq", "bits": 4, "group_size": 16, "desc_act": True, "sym": False}),
}


def make(folder, scheme=None):
    """Gives a saved model the weights of its recipes, and the folder those instead.

    @return the model with what they decode to
    """
    made, decoded = Made(), {}
    for name, value in sorted(load_file(folder / "model.safetensors").items()):
        if scheme and is_linear(name, value):
            decoded[name] = SCHEMES[scheme][0](made, name, *value.shape)
        else:
            made.plain(name, value.dtype, tuple(value.shape))
            decoded[name] = made.tensors[name].float()
    save_file({name: value.float() for name, value in decoded.items()}, folder / "model.safetensors", {"format": "pt"})
    model = AutoModelForCausalLM.from_pretrained(folder, dtype=torch.float32, attn_implementation="eager").eval()
    (folder / "model.safetensors").unlink()
    lines = ",\n".join(json.dumps(recipe, separators=(",", ":")) for recipe in made.recipes)
    (folder / "tensors.json").write_text("[\n" + lines + "\n]\n")
    if scheme:
        text = json.loads((folder / "config.json").read_text()) | {"quantization_config": SCHEMES[scheme][1]}
        (folder / "config.json").write_text(json.dumps(text, indent=2) + "\n")
    return model


def reference(model, name):
    random = np.random.default_rng(9)
    cases = []
    for length in LENGTHS_OF.get(name, LENGTHS):
        prompt = [int(i) for i in random.integers(0, VOCABULARY, length)]
        tokens, steps = list(prompt), []
        if name in CACHED:
            # The frequencies grow with what was computed before, until a short one comes.
            model(torch.tensor([[0]]))
            cache = DynamicCache()
        for _ in range(GREEDY + 1):
            with torch.no_grad():
                if name in CACHED:
                    logits = model(torch.tensor([tokens[cache.get_seq_length():]]), past_key_values=cache).logits
                else:
                    # Each step is computed from the beginning.
                    logits = model(torch.tensor([tokens]), use_cache=False).logits
            logits = logits[0, -1].double()
            logprobs = torch.log_softmax(logits, -1)
            best = torch.topk(logprobs, TOP)
            steps.append({
                "spread": round(float(logits.max() - logits.min()), 3),
                "ids": best.indices.tolist(),
                "logprobs": [round(v, 5) for v in best.values.tolist()],
            })
            tokens.append(int(best.indices[0]))
        cases.append({"prompt": prompt, "steps": steps})
    return cases


def main():
    root = pathlib.Path(sys.argv[1])
    only = sys.argv[2:]
    for name in [*MODELS, *QUANTISED]:
        if only and name not in only:
            continue
        of, scheme = QUANTISED.get(name, (name, None))
        kind, settings = MODELS[of]
        folder = root / name
        shutil.rmtree(folder, ignore_errors=True)
        config = AutoConfig.for_model(kind, **(COMMON | settings))
        AutoModelForCausalLM.from_config(config).to(torch.bfloat16).save_pretrained(folder)
        cases = reference(make(folder, scheme), name)
        (folder / "generation_config.json").unlink(missing_ok=True)
        (folder / "reference.json").write_text(json.dumps(cases, separators=(",", ":")) + "\n")
        print(folder.name, sum(f.stat().st_size for f in folder.iterdir()), transformers.__version__, flush=True)


if __name__ == "__main__":
    main()
