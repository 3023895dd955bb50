"""A checkpoint of a model's shape with random weights, as Hugging Face publishes one: for measuring, speed does not depend
on the values.

    checkpoint.py tiny|1.5b|7b|72b OUT [TOKENIZER]      TOKENIZER: folder of tokenizer.json and tokenizer_config.json
"""
import json
import pathlib
import shutil
import sys
import time

import torch
from safetensors.torch import save_file

SHAPES = {
    "tiny": dict(hidden=896, intermediate=2432, layers=4, heads=7, kv_heads=1, vocabulary=152064),
    "1.5b": dict(hidden=1536, intermediate=8960, layers=28, heads=12, kv_heads=2, vocabulary=151936),
    "7b": dict(hidden=3584, intermediate=18944, layers=28, heads=28, kv_heads=4, vocabulary=152064),
    "72b": dict(hidden=8192, intermediate=29568, layers=80, heads=64, kv_heads=8, vocabulary=152064),
}
HEAD = 128
TEXT_IDS = 151_643
FILE_BYTES = 4 << 30


def tensors(s):
    """Names and extents, in the order of a forward pass."""
    hidden, mlp = s["hidden"], s["intermediate"]
    yield "model.embed_tokens.weight", (s["vocabulary"], hidden)
    for i in range(s["layers"]):
        p = f"model.layers.{i}."
        yield p + "input_layernorm.weight", (hidden,)
        for name, heads in ("q", s["heads"]), ("k", s["kv_heads"]), ("v", s["kv_heads"]):
            yield p + f"self_attn.{name}_proj.weight", (heads * HEAD, hidden)
            yield p + f"self_attn.{name}_proj.bias", (heads * HEAD,)
        yield p + "self_attn.o_proj.weight", (hidden, s["heads"] * HEAD)
        yield p + "post_attention_layernorm.weight", (hidden,)
        yield p + "mlp.gate_proj.weight", (mlp, hidden)
        yield p + "mlp.up_proj.weight", (mlp, hidden)
        yield p + "mlp.down_proj.weight", (hidden, mlp)
    yield "model.norm.weight", (hidden,)
    yield "lm_head.weight", (s["vocabulary"], hidden)


def main():
    shape, out = SHAPES[sys.argv[1]], pathlib.Path(sys.argv[2])
    began = time.time()
    out.mkdir(parents=True, exist_ok=True)
    device = "cuda" if torch.cuda.is_available() else "cpu"
    torch.manual_seed(1)
    groups, size = [[]], 0
    for name, extents in tensors(shape):
        count = 2 * torch.Size(extents).numel()
        if size and size + count > FILE_BYTES:
            groups.append([])
            size = 0
        groups[-1].append((name, extents))
        size += count
    index = {}
    for number, group in enumerate(groups, 1):
        file = f"model-{number:05d}-of-{len(groups):05d}.safetensors"
        held = {}
        for name, extents in group:
            value = torch.ones(extents, device=device) if name.endswith("norm.weight") else torch.randn(
                extents, device=device, dtype=torch.bfloat16) * 0.02
            if name == "lm_head.weight":
                # Ids that the tokenizer has no text for are never the best.
                value[TEXT_IDS:] = 0
            held[name] = value.to(torch.bfloat16).cpu()
            index[name] = file
        save_file(held, out / file, metadata={"format": "pt"})
    (out / "model.safetensors.index.json").write_text(json.dumps({"metadata": {}, "weight_map": index}))
    (out / "config.json").write_text(json.dumps(dict(
        architectures=["Qwen2ForCausalLM"], model_type="qwen2", hidden_size=shape["hidden"],
        intermediate_size=shape["intermediate"], num_hidden_layers=shape["layers"], num_attention_heads=shape["heads"],
        num_key_value_heads=shape["kv_heads"], vocab_size=shape["vocabulary"], max_position_embeddings=32768,
        rms_norm_eps=1e-6, rope_theta=1e6, tie_word_embeddings=False, torch_dtype="bfloat16", hidden_act="silu",
        bos_token_id=151643, eos_token_id=151645, use_sliding_window=False)))
    for name in ("tokenizer.json", "tokenizer_config.json") if len(sys.argv) > 3 and sys.argv[3] else ():
        shutil.copy(pathlib.Path(sys.argv[3]) / name, out / name)
    total = sum(file.stat().st_size for file in out.iterdir())
    print(f"{out}: {total / 1e9:.2f} GB in {len(groups)} files, written in {time.time() - began:.1f} s")


main()
