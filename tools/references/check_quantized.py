#!/usr/bin/env python3
"""Holds what `./penstock quantize FROM TO` wrote against its original, read by torch and compressed-tensors.

    pip install torch==2.15.0 safetensors==0.8.0 loguru psutil transformers==5.24.0
    pip install --no-deps compressed-tensors==0.20.0
    python tools/references/check_quantized.py FROM TO

Prints how far the weights are off, relative to their size; fails where that is more than the format's own rounding, and
where a tensor that is not quantised is not the original's.
"""

import json
import pathlib
import sys

import torch
from compressed_tensors.compressors.pack_quantized.helpers import unpack_from_int32
from safetensors.torch import load_file

# The root of the mean square of Gaussian weights: 4 bits with 128 a scale, and 3 bits of fraction.
BOUNDS = {"compressed-tensors": 0.12, "fp8": 0.04}


def tensors(folder):
    return {k: v for file in sorted(pathlib.Path(folder).glob("*.safetensors")) for k, v in load_file(file).items()}


def decode(name, written):
    if name + "_packed" in written:
        shape = written[name + "_shape"].tolist()
        codes = unpack_from_int32(written[name + "_packed"], 4, torch.Size(shape)).float()
        return codes * written[name + "_scale"].float().repeat_interleave(128, 1)
    if name + "_scale_inv" in written:
        weight = written[name].float()
        scale = written[name + "_scale_inv"]
        full = scale.repeat_interleave(128, 0)[: weight.shape[0]].repeat_interleave(128, 1)[:, : weight.shape[1]]
        return weight * full
    return None


def main():
    original, written = tensors(sys.argv[1]), tensors(sys.argv[2])
    method = json.loads((pathlib.Path(sys.argv[2]) / "config.json").read_text())["quantization_config"]["quant_method"]
    quantised, worst = 0, 0.0
    for name, weight in original.items():
        decoded = decode(name, written)
        if decoded is None:
            assert torch.equal(written[name], weight), f"{name} was changed"
            continue
        quantised += 1
        off = ((decoded - weight.float()).square().mean().sqrt() / weight.float().square().mean().sqrt()).item()
        worst = max(worst, off)
        assert off < BOUNDS[method], f"{name} is {off:.4f} off"
    assert quantised, "nothing is quantised"
    print(f"{method}: {quantised} matrices, the worst {worst:.4f} off; {len(original) - quantised} other tensors equal")


main()
