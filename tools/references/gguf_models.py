#!/usr/bin/env python3
"""Tiny models with experts as GGUF files, written by the `gguf` package, and what transformers makes of the same weights.

    pip install torch==2.15.0 transformers==5.24.0 safetensors==0.8.0 gguf==0.19.0 numpy==2.4.6
    python tools/references/gguf_models.py model-shard-service/src/test/resources/io/penstock/shard/backend/cpu/gguf

One file a model, NAME.gguf and NAME.json, the latter as reference.json of architectures.py is. Names of tensors are those
of the package's own table, names of settings those of its writer, and what goes where is as llama.cpp's converter has it:
experts stacked, and of DeepSeek's models either `attn_kv_b`, as files had it until spring 2025, or `attn_k_b`, each
head's transposed, and `attn_v_b` (`mla`). Experts are Q8_0, so that parts of a stack begin where blocks do.
"""

import json
import pathlib
import re
import sys
import tempfile

import gguf
import numpy as np
import torch
from architectures import Made, reference
from safetensors.torch import load_file, save_file
from transformers import AutoConfig, AutoModelForCausalLM

VOCABULARY = 160
COMMON = {
    "vocab_size": VOCABULARY, "hidden_size": 32, "intermediate_size": 128, "num_attention_heads": 4,
    "max_position_embeddings": 512, "tie_word_embeddings": False, "moe_intermediate_size": 32,
    "bos_token_id": None, "eos_token_id": None, "pad_token_id": None,
}
LATENT = COMMON | {
    "num_hidden_layers": 2, "num_key_value_heads": 4, "kv_lora_rank": 32, "qk_nope_head_dim": 16, "qk_rope_head_dim": 8,
    "v_head_dim": 24, "n_routed_experts": 8, "num_experts_per_tok": 3, "n_shared_experts": 4, "first_k_dense_replace": 1,
}
YARN = {"rope_type": "yarn", "factor": 8.0, "original_max_position_embeddings": 64, "beta_fast": 32, "beta_slow": 1,
        "rope_theta": 10000.0, "mscale": 0.7, "mscale_all_dim": 0.7}
MODELS = {
    "qwen3-moe": ("qwen3_moe", False, COMMON | {
        "num_hidden_layers": 2, "num_key_value_heads": 2, "head_dim": 16, "num_experts": 4, "num_experts_per_tok": 2,
        "norm_topk_prob": True, "mlp_only_layers": [], "decoder_sparse_step": 1}),
    "deepseek-v2": ("deepseek_v2", False, LATENT | {
        "q_lora_rank": None, "topk_method": "greedy", "n_group": 1, "topk_group": 1, "routed_scaling_factor": 1.0,
        "norm_topk_prob": False, "rope_parameters": YARN}),
    "deepseek-v3": ("deepseek_v3", True, LATENT | {
        "q_lora_rank": 24, "routed_scaling_factor": 2.5, "norm_topk_prob": True, "n_group": 4, "topk_group": 2,
        "rope_parameters": YARN}),
}


def settings(writer, config, mla):
    writer.add_block_count(config.num_hidden_layers)
    writer.add_context_length(config.max_position_embeddings)
    writer.add_embedding_length(config.hidden_size)
    writer.add_feed_forward_length(config.intermediate_size)
    writer.add_head_count(config.num_attention_heads)
    writer.add_layer_norm_rms_eps(config.rms_norm_eps)
    writer.add_rope_freq_base(config.rope_parameters["rope_theta"])
    writer.add_vocab_size(config.vocab_size)
    writer.add_expert_used_count(config.num_experts_per_tok)
    writer.add_expert_feed_forward_length(config.moe_intermediate_size)
    if config.model_type == "qwen3_moe":
        writer.add_head_count_kv(config.num_key_value_heads)
        writer.add_key_length(config.head_dim)
        writer.add_value_length(config.head_dim)
        writer.add_expert_count(config.num_experts)
        return
    rope = config.rope_parameters
    writer.add_expert_count(config.n_routed_experts)
    writer.add_expert_shared_count(config.n_shared_experts)
    writer.add_expert_weights_scale(config.routed_scaling_factor)
    writer.add_leading_dense_block_count(config.first_k_dense_replace)
    if config.q_lora_rank:
        writer.add_q_lora_rank(config.q_lora_rank)
    writer.add_kv_lora_rank(config.kv_lora_rank)
    writer.add_rope_dimension_count(config.qk_rope_head_dim)
    head = config.qk_nope_head_dim + config.qk_rope_head_dim
    if mla:
        writer.add_head_count_kv(1)
        writer.add_key_length(config.kv_lora_rank + config.qk_rope_head_dim)
        writer.add_value_length(config.kv_lora_rank)
        writer.add_key_length_mla(head)
        writer.add_value_length_mla(config.v_head_dim)
    else:
        writer.add_head_count_kv(config.num_key_value_heads)
        writer.add_key_length(head)
        writer.add_value_length(config.v_head_dim)
    if config.model_type == "deepseek_v3":
        writer.add_expert_gating_func(gguf.ExpertGatingFuncType.SIGMOID)
        writer.add_expert_weights_norm(config.norm_topk_prob)
        writer.add_expert_group_count(config.n_group)
        writer.add_expert_group_used_count(config.topk_group)
    writer.add_rope_scaling_type(gguf.RopeScalingType.YARN)
    writer.add_rope_scaling_factor(rope["factor"])
    writer.add_rope_scaling_orig_ctx_len(rope["original_max_position_embeddings"])
    writer.add_rope_scaling_yarn_log_mul(0.1 * rope["mscale_all_dim"])


def tensors(weights, config, mla):
    """Pairs of the name that the package's table knows, and values, those of experts stacked."""
    stacks = {}
    for name, value in weights.items():
        expert = re.fullmatch(r"(.*\.experts)\.(\d+)(\..*)", name)
        if expert:
            stacks.setdefault(expert[1] + expert[3], {})[int(expert[2])] = value
        elif mla and name.endswith("kv_b_proj.weight"):
            heads = value.view(config.num_attention_heads, -1, value.shape[-1])
            key, values = heads.split([config.qk_nope_head_dim, config.v_head_dim], 1)
            yield name.replace("kv_b_proj", "k_b_proj"), key.transpose(1, 2)
            yield name.replace("kv_b_proj", "v_b_proj"), values
        else:
            yield name.replace("e_score_correction_bias", "e_score_correction.bias"), value
    for name, stack in stacks.items():
        yield name, torch.stack([stack[expert] for expert in range(len(stack))])


def write(path, config, weights, mla):
    arch = gguf.MODEL_ARCH.QWEN3MOE if config.model_type == "qwen3_moe" else gguf.MODEL_ARCH.DEEPSEEK2
    names = gguf.get_tensor_name_map(arch, config.num_hidden_layers)
    writer = gguf.GGUFWriter(path, gguf.MODEL_ARCH_NAMES[arch])
    writer.add_tokenizer_model("none")
    settings(writer, config, mla)
    for name, value in tensors(weights, config, mla):
        known = names.get_name(name, try_suffixes=(".weight", ".bias"))
        value = value.float().contiguous().numpy()
        if "_exps" in known:
            stored = gguf.quantize(value, gguf.GGMLQuantizationType.Q8_0)
            writer.add_tensor(known, stored, raw_dtype=gguf.GGMLQuantizationType.Q8_0)
        else:
            writer.add_tensor(known, value if value.ndim == 1 or "gate_inp" in known else value.astype(np.float16))
    writer.write_header_to_file()
    writer.write_kv_data_to_file()
    writer.write_tensors_to_file()
    writer.close()


def main():
    folder = pathlib.Path(sys.argv[1])
    folder.mkdir(parents=True, exist_ok=True)
    for name, (kind, mla, given) in MODELS.items():
        config = AutoConfig.for_model(kind, **given)
        with tempfile.TemporaryDirectory() as temporary:
            saved = pathlib.Path(temporary)
            AutoModelForCausalLM.from_config(config).save_pretrained(saved)
            made, weights = Made(), {}
            for tensor, value in sorted(load_file(saved / "model.safetensors").items()):
                made.plain(tensor, torch.bfloat16, tuple(value.shape))
                weights[tensor] = made.tensors[tensor].float()
                if ".experts." in tensor:
                    kind_of = gguf.GGMLQuantizationType.Q8_0
                    weights[tensor] = torch.from_numpy(gguf.dequantize(gguf.quantize(weights[tensor].numpy(), kind_of), kind_of))
                elif value.dim() == 2:
                    weights[tensor] = weights[tensor].half().float()
            write(folder / f"{name}.gguf", config, weights, mla)
            save_file(weights, saved / "model.safetensors", {"format": "pt"})
            model = AutoModelForCausalLM.from_pretrained(saved, dtype=torch.float32, attn_implementation="eager").eval()
            cases = reference(model, name)
        (folder / f"{name}.json").write_text(json.dumps(cases, separators=(",", ":")) + "\n")
        print(name, (folder / f"{name}.gguf").stat().st_size, flush=True)


if __name__ == "__main__":
    main()
