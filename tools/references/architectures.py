#!/usr/bin/env python3
"""Tiny random models of each architecture, and what transformers makes of them in float32.

    pip install torch==2.15.0 transformers==5.24.0 safetensors==0.8.0 numpy==2.4.6
    python tools/references/architectures.py model-shard-service/src/test/resources/io/penstock/shard/backend/cpu/tiny

One folder a model: config.json and model.safetensors as a user would have them (bf16, so that they are small; read back,
so that both sides compute with the same weights), and reference.json: for prompts of 1, 7, 64 and 300 tokens the 32
tokens that follow greedily, each with the log-probabilities of the best of them, the spread of the logits, and the
distance between the two best.
"""

import json
import pathlib
import shutil
import sys

import numpy as np
import torch
import transformers
from formats import pack_words
from safetensors.torch import load_file, save_file
from transformers import AutoConfig, AutoModelForCausalLM

VOCABULARY = 160
LENGTHS = [1, 7, 64, 300]
GREEDY = 32
TOP = 8
COMMON = {
    "vocab_size": VOCABULARY,
    "hidden_size": 96,
    "intermediate_size": 96,
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
    "intermediate_size": 128,
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
MODELS = {
    "llama": ("llama", {"head_dim": 16, "tie_word_embeddings": True}),
    "llama3-rope": ("llama", {"head_dim": 16, "rope_parameters": {
        "rope_type": "llama3", "factor": 8.0, "low_freq_factor": 1.0, "high_freq_factor": 4.0,
        "original_max_position_embeddings": 64, "rope_theta": 500000.0}}),
    "mistral-linear": ("mistral", {"head_dim": 16, "sliding_window": None, "rope_parameters": {
        "rope_type": "linear", "factor": 4.0, "rope_theta": 10000.0}}),
    "phi3": ("phi3", {"sliding_window": None, "original_max_position_embeddings": 512}),
    "qwen2-yarn": ("qwen2", {"use_sliding_window": False, "num_attention_heads": 4, "num_key_value_heads": 2, "rope_parameters": YARN}),
    "qwen2-dynamic": ("qwen2", {"use_sliding_window": False, "num_attention_heads": 4, "num_key_value_heads": 2, "rope_parameters": {
        "rope_type": "dynamic", "factor": 4.0, "rope_theta": 10000.0}}),
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


def randomise(model):
    generator = torch.Generator().manual_seed(7)
    for name, value in list(model.named_parameters()) + list(model.named_buffers()):
        if "inv_freq" in name:
            continue
        if value.dim() == 1:
            centre = 1.0 if "norm" in name else 0.0
            spread = 0.1 if "norm" in name or "correction" in name else 0.3
        else:
            centre, spread = 0.0, 1.5 / value.shape[-1] ** 0.5
        value.data = (centre + spread * torch.randn(value.shape, generator=generator)).bfloat16().float()


def is_linear(name, value):
    return value.dim() == 2 and name.endswith("_proj.weight") or name.endswith("kv_a_proj_with_mqa.weight")


def fp8(weight):
    rows, columns = weight.shape
    down, across = -(-rows // 128), -(-columns // 128)
    padded = torch.zeros(down * 128, across * 128)
    padded[:rows, :columns] = weight
    scale = padded.view(down, 128, across, 128).abs().amax((1, 3)).clamp(min=1e-12) / 448
    full = scale.repeat_interleave(128, 0)[:rows].repeat_interleave(128, 1)[:, :columns]
    codes = (weight / full).to(torch.float8_e4m3fn)
    return {"weight": codes, "weight_scale_inv": scale}, codes.float() * full


def gptq(weight, group=16):
    rows, columns = weight.shape
    order = torch.from_numpy(np.random.default_rng(columns).permutation(np.arange(columns) // group))
    scales, zeros = torch.zeros(columns // group, rows), torch.zeros(columns // group, rows)
    for index in range(columns // group):
        part = weight[:, order == index]
        low, high = part.amin(1).clamp(max=0), part.amax(1).clamp(min=0)
        scales[index] = ((high - low) / 15).half().float()
        zeros[index] = (-low / scales[index]).round().clamp(1, 15)
    codes = (weight.T / scales[order] + zeros[order]).round().clamp(0, 15)
    decoded = ((codes - zeros[order]) * scales[order]).T
    return {
        "qweight": pack_words(codes.numpy().astype(np.int64), 4),
        "qzeros": pack_words((zeros - 1).T.numpy().astype(np.int64), 4).T.contiguous(),
        "scales": scales.half(),
        "g_idx": order.to(torch.int32),
    }, decoded.contiguous()


SCHEMES = {
    "fp8": (fp8, {"quant_method": "fp8", "fmt": "e4m3", "weight_block_size": [128, 128], "activation_scheme": "dynamic"}),
    "gptq": (gptq, {"quant_method": "gptq", "bits": 4, "group_size": 16, "desc_act": True, "sym": False}),
}


def quantise(folder, scheme):
    """Rewrites a saved model; what its linear layers then decode to goes to a folder that transformers can read."""
    encode, config = SCHEMES[scheme]
    file = folder / "model.safetensors"
    stored, decoded = {}, {}
    for name, value in load_file(file).items():
        stored[name] = decoded[name] = value
        if is_linear(name, value):
            del stored[name]
            parts, decoded[name] = encode(value.float())
            stored |= {name.removesuffix("weight") + part: tensor for part, tensor in parts.items()}
    plain = folder.with_name(folder.name + "-decoded")
    shutil.copytree(folder, plain, dirs_exist_ok=True)
    save_file({name: value.float() for name, value in decoded.items()}, plain / "model.safetensors", {"format": "pt"})
    save_file(stored, file, {"format": "pt"})
    text = json.loads((folder / "config.json").read_text()) | {"quantization_config": config}
    (folder / "config.json").write_text(json.dumps(text, indent=2) + "\n")
    model = AutoModelForCausalLM.from_pretrained(plain, dtype=torch.float32, attn_implementation="eager").eval()
    shutil.rmtree(plain)
    return model


def reference(model, name):
    random = np.random.default_rng(9)
    cases = []
    for length in LENGTHS:
        prompt = [int(i) for i in random.integers(0, VOCABULARY, length)]
        tokens, steps = list(prompt), []
        for _ in range(GREEDY + 1):
            # Without a cache: each step is computed from the beginning.
            with torch.no_grad():
                logits = model(torch.tensor([tokens]), use_cache=False).logits[0, -1].double()
            logprobs = torch.log_softmax(logits, -1)
            best = torch.topk(logprobs, TOP)
            steps.append({
                "spread": float(logits.max() - logits.min()),
                "ids": best.indices.tolist(),
                "logprobs": [round(v, 7) for v in best.values.tolist()],
            })
            tokens.append(int(best.indices[0]))
        cases.append({"prompt": prompt, "steps": steps})
    return cases


def main():
    root = pathlib.Path(sys.argv[1])
    only = sys.argv[2:]
    for name, (kind, settings) in MODELS.items():
        if only and name not in only:
            continue
        folder = root / name
        shutil.rmtree(folder, ignore_errors=True)
        config = AutoConfig.for_model(kind, **(COMMON | settings))
        config._attn_implementation = "eager"
        model = AutoModelForCausalLM.from_config(config).float().eval()
        randomise(model)
        cases = reference(model, name)
        model.to(torch.bfloat16).save_pretrained(folder)
        finish(folder, cases)
    for name, (of, scheme) in QUANTISED.items():
        if only and name not in only:
            continue
        folder = root / name
        shutil.rmtree(folder, ignore_errors=True)
        shutil.copytree(root / of, folder)
        finish(folder, reference(quantise(folder, scheme), name))


def finish(folder, cases):
    (folder / "generation_config.json").unlink(missing_ok=True)
    (folder / "reference.json").write_text(json.dumps(cases, separators=(",", ":")) + "\n")
    print(folder.name, sum(f.stat().st_size for f in folder.iterdir()), transformers.__version__)


if __name__ == "__main__":
    main()
