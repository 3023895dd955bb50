#!/usr/bin/env python3
"""Holds the GPTQ cases that formats.py wrote against AutoGPTQ's own module, computing on a CPU.

    pip install torch==2.15.0 transformers==5.24.0 safetensors==0.8.0 && pip install --no-deps auto-gptq==0.7.1
    python tools/references/check_gptq.py model/src/test/resources/io/penstock/model/checkpoint/formats

What formats.py decodes with numpy, AutoGPTQ must decode to the same numbers: its layer's outputs for unit vectors are its
weights. Fails where one differs; the second format, which AutoGPTQ does not read, is left out. So are weights whose zero
point was 0, and is stored as one less, where the module for inputs in another order does not wrap around, as the other
module and we do.
"""

import importlib.util
import json
import pathlib
import sys

import torch
from safetensors.torch import load_file


def layer(ordered):
    # The module alone: the package imports kernels and its peers. One of two is for inputs in another order.
    package = pathlib.Path(importlib.util.find_spec("auto_gptq").submodule_search_locations[0])
    spec = importlib.util.spec_from_file_location("qlinear", package / f"nn_modules/qlinear/qlinear_cuda{'' if ordered else '_old'}.py")
    module = importlib.util.module_from_spec(spec)
    spec.loader.exec_module(module)
    return module.QuantLinear


def main():
    folder = pathlib.Path(sys.argv[1])
    checked = 0
    for name, case in json.loads((folder / "cases.json").read_text()).items():
        config = case["quantization_config"]
        if config["quant_method"] != "gptq" or config.get("checkpoint_format") == "gptq_v2":
            continue
        tensors = load_file(folder / f"{name}.safetensors")
        more = {} if config["desc_act"] else {"use_cuda_fp16": False}
        linear = layer(config["desc_act"])(
            config["bits"], config["group_size"], case["columns"], case["rows"], False, weight_dtype=torch.float32, **more)
        linear.qweight, linear.qzeros = tensors["m.qweight"], tensors["m.qzeros"]
        linear.scales, linear.g_idx = tensors["m.scales"].float(), tensors["m.g_idx"]
        weights = linear.eval()(torch.eye(case["columns"])).T
        shifts = torch.arange(0, 32, config["bits"])
        most = (1 << config["bits"]) - 1
        zeros = (tensors["m.qzeros"][:, :, None] >> shifts & most).flatten(1)
        wrapped = (zeros[tensors["m.g_idx"].long()] == most).T if config["desc_act"] else torch.zeros(weights.shape).bool()
        assert wrapped.float().mean() < 0.2
        off = (weights - tensors["expected"]).abs()[~wrapped].max()
        assert off == 0, f"{name} differs by {off}"
        checked += 1
    assert checked, "no case is GPTQ"
    print(f"{checked} cases, every weight equal")


main()
