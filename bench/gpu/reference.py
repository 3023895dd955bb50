"""Small random models of the families we serve, and the logits that transformers gives for them in f32 and in bf16.

    reference.py OUT      writes OUT/<name>/ (a Hugging Face folder, bf16), the same as OUT/<name>.gguf, and OUT/<name>.ref;
                          of one model also folders with quantised matrices; OUT/<name>-a8.ref holds, instead of the bf16
                          run, one whose products take e4m3 vectors, <name>-kv8.ref one whose keys and values are e4m3

A .ref file is, for each case: prompt length, forced tokens, vocabulary (int32); the prompt's and the forced tokens' ids
(int32); logits at the prompt's end and after each forced token, of the f32 run, then of the bf16 run (float32).
"""
import contextlib
import json
import os
import struct
import sys

import numpy as np
import torch
from safetensors.torch import load_file, save_file
from transformers import (
    AutoModelForCausalLM, LlamaConfig, LlamaForCausalLM, Qwen2Config, Qwen2ForCausalLM, Qwen3Config, Qwen3ForCausalLM)

LENGTHS = [1, 7, 16, 17, 64, 65, 300] + [33 + 5 * i for i in range(24)] + [4000]
FORCED = 4


def models():
    common = dict(vocab_size=2048, max_position_embeddings=8192, initializer_range=0.06)
    yield "qwen2", Qwen2ForCausalLM, Qwen2Config(
        hidden_size=448, intermediate_size=1216, num_hidden_layers=4, num_attention_heads=7, num_key_value_heads=1,
        rope_theta=1e6, tie_word_embeddings=True, **common)
    yield "qwen2-128", Qwen2ForCausalLM, Qwen2Config(
        hidden_size=896, intermediate_size=2432, num_hidden_layers=3, num_attention_heads=7, num_key_value_heads=1,
        rope_theta=1e6, tie_word_embeddings=False, **common)
    # Heads enough for four tensor-parallel ranks.
    yield "qwen2-ranks", Qwen2ForCausalLM, Qwen2Config(
        hidden_size=512, intermediate_size=1408, num_hidden_layers=4, num_attention_heads=8, num_key_value_heads=4,
        rope_theta=1e6, tie_word_embeddings=False, **common)
    # Norms of their own for each head's query and key; heads that are not the hidden size's parts.
    yield "qwen3", Qwen3ForCausalLM, Qwen3Config(
        hidden_size=512, intermediate_size=1408, num_hidden_layers=4, num_attention_heads=6, num_key_value_heads=2,
        head_dim=128, rope_theta=1e6, tie_word_embeddings=True, **common)
    yield "llama3", LlamaForCausalLM, LlamaConfig(
        hidden_size=512, intermediate_size=1408, num_hidden_layers=4, num_attention_heads=8, num_key_value_heads=2,
        head_dim=128, rms_norm_eps=1e-5, tie_word_embeddings=False,
        rope_parameters=dict(rope_type="llama3", rope_theta=5e5, factor=8.0, low_freq_factor=1.0,
                             high_freq_factor=4.0, original_max_position_embeddings=1024),
        **common)


LAYER = {
    "input_layernorm.weight": "attn_norm.weight", "post_attention_layernorm.weight": "ffn_norm.weight",
    "self_attn.q_norm": "attn_q_norm", "self_attn.k_norm": "attn_k_norm",
    "self_attn.q_proj": "attn_q", "self_attn.k_proj": "attn_k", "self_attn.v_proj": "attn_v",
    "self_attn.o_proj": "attn_output", "mlp.gate_proj": "ffn_gate", "mlp.up_proj": "ffn_up", "mlp.down_proj": "ffn_down"}
TOP = {"model.embed_tokens.weight": "token_embd.weight", "model.norm.weight": "output_norm.weight",
       "lm_head.weight": "output.weight"}


def gguf_name(name):
    if name in TOP:
        return TOP[name]
    _, _, layer, rest = name.split(".", 3)
    for ours, theirs in LAYER.items():
        if rest.startswith(ours):
            return f"blk.{layer}.{theirs}{rest[len(ours):]}"
    raise KeyError(name)


def write_gguf(path, model, frequencies, config):
    """The model as a GGUF file: matrices bf16, vectors f32; Llama's q and k rows permuted as that format has them."""
    llama = config.model_type == "llama"
    head = getattr(config, "head_dim", None) or config.hidden_size // config.num_attention_heads
    tensors = {}
    for name, value in model.state_dict().items():
        if name == "lm_head.weight" and config.tie_word_embeddings:
            continue
        if llama and ("q_proj" in name or "k_proj" in name):
            value = value.reshape(-1, 2, head // 2, value.shape[-1]).swapaxes(1, 2).reshape(value.shape)
        tensors[gguf_name(name)] = value
    if llama:
        base = config.rope_parameters["rope_theta"] ** -(torch.arange(0, head, 2, dtype=torch.float64) / head)
        tensors["rope_freqs.weight"] = (base / frequencies.double().cpu()).float()
    arch = config.model_type
    epsilon = config.rms_norm_eps
    text = lambda v: struct.pack("<Q", len(v)) + v.encode()
    pairs = [("general.architecture", 8, text(arch))]
    for key, value in dict(block_count=config.num_hidden_layers, embedding_length=config.hidden_size,
                           feed_forward_length=config.intermediate_size, context_length=config.max_position_embeddings,
                           **{"attention.head_count": config.num_attention_heads,
                              "attention.head_count_kv": config.num_key_value_heads,
                              "attention.key_length": head, "attention.value_length": head}).items():
        pairs.append((f"{arch}.{key}", 4, struct.pack("<I", value)))
    pairs.append((f"{arch}.attention.layer_norm_rms_epsilon", 6, struct.pack("<f", epsilon)))
    pairs.append((f"{arch}.rope.freq_base", 6, struct.pack("<f", config.rope_parameters["rope_theta"])))
    index, data = b"", b""
    for name, value in tensors.items():
        matrix = value.dim() > 1
        raw = (value.contiguous().view(torch.int16) if matrix else value.float()).cpu().numpy().tobytes()
        data += b"\0" * (-len(data) % 32)
        index += text(name) + struct.pack("<I", value.dim())
        index += b"".join(struct.pack("<Q", extent) for extent in reversed(value.shape))
        index += struct.pack("<IQ", 30 if matrix else 0, len(data))
        data += raw
    whole = b"GGUF" + struct.pack("<IQQ", 3, len(tensors), len(pairs))
    whole += b"".join(text(key) + struct.pack("<I", kind) + value for key, kind, value in pairs) + index
    with open(path, "wb") as file:
        file.write(whole + b"\0" * (-len(whole) % 32) + data)


def to_fp8_blocks(weight):
    """e4m3 with a scale for each 128 x 128; what is stored, and what it says."""
    rows, columns = weight.shape
    tall, wide = -(-rows // 128), -(-columns // 128)
    padded = torch.zeros(tall * 128, wide * 128)
    padded[:rows, :columns] = weight
    tiles = padded.view(tall, 128, wide, 128)
    scale = tiles.abs().amax(dim=(1, 3)).clamp(min=1e-12) / 448
    codes = (tiles / scale[:, None, :, None]).to(torch.float8_e4m3fn)
    said = (codes.float() * scale[:, None, :, None]).reshape(tall * 128, wide * 128)[:rows, :columns]
    codes = codes.view(torch.uint8).reshape(tall * 128, wide * 128)[:rows, :columns].contiguous()
    return {"weight": codes.view(torch.float8_e4m3fn), "weight_scale_inv": scale.contiguous()}, said


def to_fp8_rows(weight):
    """e4m3 with a scale for each row."""
    scale = weight.abs().amax(dim=1, keepdim=True).clamp(min=1e-12) / 448
    codes = (weight / scale).to(torch.float8_e4m3fn)
    return {"weight": codes, "weight_scale": scale}, codes.float() * scale


def pack_words(codes, dim):
    """Eight integers of four bits a word, the first in the lowest, along a dimension."""
    codes = codes.to(torch.int64).movedim(dim, -1)
    words = (codes.reshape(*codes.shape[:-1], -1, 8) << torch.arange(0, 32, 4)).sum(-1)
    words = torch.where(words >= 1 << 31, words - (1 << 32), words).to(torch.int32)
    return words.movedim(-1, dim).contiguous()


def to_gptq(weight):
    """Groups of 128 inputs with zero points, as GPTQ's first file format has them."""
    rows, columns = weight.shape
    groups = weight.view(rows, -1, 128)
    low, high = groups.amin(-1).clamp(max=0), groups.amax(-1).clamp(min=0)
    scale = ((high - low) / 15).clamp(min=1e-6).half()
    zero = (-low / scale.float()).round().clamp(1, 15)
    codes = (groups / scale.float()[..., None] + zero[..., None]).round().clamp(0, 15)
    said = ((codes - zero[..., None]) * scale.float()[..., None]).reshape(rows, columns)
    return {"qweight": pack_words(codes.reshape(rows, columns).T, 0), "qzeros": pack_words(zero.T - 1, 1),
            "scales": scale.T.contiguous(), "g_idx": (torch.arange(columns) // 128).to(torch.int32)}, said


def to_symmetric_gptq(weight):
    """The same without zero points: all are told, and all are 8, as those who write such files do."""
    rows, columns = weight.shape
    groups = weight.view(rows, -1, 128)
    scale = (groups.abs().amax(-1) / 7).clamp(min=1e-6).half()
    codes = (groups / scale.float()[..., None] + 8).round().clamp(0, 15)
    said = ((codes - 8) * scale.float()[..., None]).reshape(rows, columns)
    return {"qweight": pack_words(codes.reshape(rows, columns).T, 0),
            "qzeros": pack_words(torch.full_like(scale, 7, dtype=torch.float32).T, 1),
            "scales": scale.T.contiguous(), "g_idx": (torch.arange(columns) // 128).to(torch.int32)}, said


EIGHT_BITS = dict(num_bits=8, type="float", symmetric=True)
QUANTISED = {
    "fp8rows": (to_fp8_rows, dict(
        quant_method="compressed-tensors", format="float-quantized", quantization_status="compressed", ignore=["lm_head"],
        config_groups=dict(group_0=dict(
            targets=["Linear"], weights=dict(EIGHT_BITS, strategy="channel", dynamic=False),
            input_activations=dict(EIGHT_BITS, strategy="token", dynamic=True))))),
    "fp8": (to_fp8_blocks, dict(quant_method="fp8", fmt="e4m3", activation_scheme="dynamic", weight_block_size=[128, 128])),
    "gptq": (to_gptq, dict(quant_method="gptq", bits=4, group_size=128, desc_act=False, sym=False)),
    "gptqsym": (to_symmetric_gptq, dict(quant_method="gptq", bits=4, group_size=128, desc_act=False, sym=True))}


def write_quantised(folder, source, kind):
    """The model in a folder with its layers' matrices quantised; a folder of the model that it then is."""
    quantise, config = QUANTISED[kind]
    state = load_file(os.path.join(source, "model.safetensors"))
    stored, said = {}, {}
    for name, value in state.items():
        if name.endswith("_proj.weight"):
            parts, meant = quantise(value.float())
            stored.update({name[:-len("weight")] + part: tensor for part, tensor in parts.items()})
            said[name] = meant
        else:
            stored[name], said[name] = value, value.float()
    os.makedirs(folder, exist_ok=True)
    save_file(stored, os.path.join(folder, "model.safetensors"))
    with open(os.path.join(source, "config.json")) as file:
        settings = json.load(file)
    with open(os.path.join(folder, "config.json"), "w") as file:
        json.dump(dict(settings, quantization_config=config), file)
    return said


def narrowed(model):
    """The model with each layer's products taking e4m3 vectors, each vector with its own scale."""
    def narrow(_, inputs):
        x = inputs[0].float()
        scale = x.abs().amax(-1, keepdim=True).clamp(min=1e-12) / 448
        return ((x / scale).to(torch.float8_e4m3fn).float() * scale).to(inputs[0].dtype)

    return [part.register_forward_pre_hook(narrow) for name, part in model.named_modules() if name.endswith("_proj")]


@contextlib.contextmanager
def narrow_context():
    """Attention's keys and values rounded to e4m3 without a scale."""
    attention = torch.nn.functional.scaled_dot_product_attention

    def rounded(query, key, value, *args, **named):
        key, value = (part.float().clamp(-448, 448).to(torch.float8_e4m3fn).to(part.dtype) for part in (key, value))
        return attention(query, key, value, *args, **named)

    torch.nn.functional.scaled_dot_product_attention = rounded
    try:
        yield
    finally:
        torch.nn.functional.scaled_dot_product_attention = attention


def write_reference(path, full, half, vocabulary, beside=contextlib.nullcontext):
    """beside: what is to hold while the second model runs."""
    with open(path, "wb") as file, torch.inference_mode():
        for length in LENGTHS:
            ids = torch.randint(0, vocabulary, (1, length + FORCED), device="cuda")
            np.array([length, FORCED, vocabulary], np.int32).tofile(file)
            ids[0].cpu().numpy().astype(np.int32).tofile(file)
            for run, way in ((full, contextlib.nullcontext), (half, beside)):
                with way():
                    logits = run(ids, use_cache=False).logits[0, length - 1:].float()
                logits.cpu().numpy().astype(np.float32).tofile(file)


def main(out):
    torch.manual_seed(7)
    torch.backends.cuda.matmul.allow_tf32 = False
    for name, cls, config in models():
        model = cls(config).eval()
        for parameter_name, parameter in model.named_parameters():
            if parameter_name.endswith(".bias"):
                torch.nn.init.normal_(parameter, std=0.2)
            if "norm" in parameter_name:
                torch.nn.init.normal_(parameter, mean=1.0, std=0.1)
        folder = os.path.join(out, name)
        model.to(torch.bfloat16).save_pretrained(folder)
        full = AutoModelForCausalLM.from_pretrained(folder, dtype=torch.float32).cuda().eval()
        half = AutoModelForCausalLM.from_pretrained(folder, dtype=torch.bfloat16).cuda().eval()
        # Of the f32 model: casting a model to bf16 rounds its frequencies too.
        write_gguf(folder + ".gguf", model, full.model.rotary_emb.inv_freq, config)
        write_reference(folder + ".ref", full, half, config.vocab_size)
        write_reference(folder + "-kv8.ref", full, half, config.vocab_size, narrow_context)
        for kind in QUANTISED if name == "qwen2-128" else ():
            said = write_quantised(f"{folder}-{kind}", folder, kind)
            full.load_state_dict(said)
            half.load_state_dict(said)
            write_reference(f"{folder}-{kind}.ref", full, half, config.vocab_size)
            if kind == "fp8rows":
                hooks = narrowed(half)
                write_reference(f"{folder}-{kind}-a8.ref", full, half, config.vocab_size)
                for hook in hooks:
                    hook.remove()
        print("reference", name, flush=True)


main(sys.argv[1])
