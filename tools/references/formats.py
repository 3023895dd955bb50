#!/usr/bin/env python3
"""Writes what the decoders of quantised checkpoints (io.penstock.model.quant.MatrixDecoder) are tested against.

    pip install torch==2.15.0 numpy==2.4.6 safetensors==0.8.0 bitsandbytes==0.50.2
    pip install loguru psutil transformers==5.24.0 && pip install --no-deps compressed-tensors==0.20.0 autoawq==0.2.9
    python tools/references/formats.py model/src/test/resources/io/penstock/model/checkpoint/formats

One safetensors file a case: a linear module `m` as the format stores it, and `expected`, its weights in float32 by an
independent decoder: torch for 8-bit floats, bitsandbytes for NF4, FP4 and int8, AutoAWQ's packing functions for AWQ,
compressed-tensors for its own. GPTQ has no package that installs here without a compiler; its layout (AutoGPTQ 0.7.1,
qlinear_cuda_old.py) is written out below with numpy. `cases.json` holds the `quantization_config` of each.
"""

import importlib.util
import json
import pathlib
import sys

import bitsandbytes.functional as bnb
import numpy as np
import torch
from compressed_tensors.compressors.pack_quantized.helpers import pack_to_int32
from compressed_tensors.quantization import QuantizationArgs
from compressed_tensors.quantization.lifecycle.forward import dequantize
from safetensors.torch import save_file

CASES = {}


def awq_packing():
    # The module alone: the package imports models and kernels.
    package = pathlib.Path(importlib.util.find_spec("awq").submodule_search_locations[0])
    spec = importlib.util.spec_from_file_location("packing_utils", package / "utils/packing_utils.py")
    module = importlib.util.module_from_spec(spec)
    spec.loader.exec_module(module)
    return module


def case(folder, name, config, rows, columns, tensors, expected):
    CASES[name] = {"quantization_config": config, "rows": rows, "columns": columns}
    tensors = {f"m.{key}": value.contiguous() for key, value in tensors.items()}
    save_file(tensors | {"expected": expected.float().contiguous()}, folder / f"{name}.safetensors")


def float8(folder):
    g = torch.Generator().manual_seed(1)

    def codes(rows, columns, dtype):
        raw = torch.randint(0, 256, (rows, columns), generator=g, dtype=torch.uint8)
        raw[raw.view(dtype).float().isfinite().logical_not()] = 0
        return raw.view(dtype)

    for dtype, fmt in [(torch.float8_e4m3fn, "e4m3"), (torch.float8_e5m2, "e5m2")]:
        rows, columns = 130, 150
        weight = codes(rows, columns, dtype)
        scale = torch.rand(2, 2, generator=g) + 0.01
        full = scale.repeat_interleave(128, 0)[:rows].repeat_interleave(128, 1)[:, :columns]
        config = {"quant_method": "fp8", "fmt": fmt, "weight_block_size": [128, 128], "activation_scheme": "dynamic"}
        case(folder, f"fp8-blocks-{fmt}", config, rows, columns,
             {"weight": weight, "weight_scale_inv": scale}, weight.float() * full)
    weight = codes(24, 40, torch.float8_e4m3fn)
    scale = torch.tensor(0.0173)
    case(folder, "fp8-tensor", {"quant_method": "fp8", "activation_scheme": "static"}, 24, 40,
         {"weight": weight, "weight_scale": scale, "input_scale": torch.tensor(1.5)}, weight.float() * scale)
    scale = (torch.rand(24, 1, generator=g) + 0.01).bfloat16()
    case(folder, "fp8-channel", {"quant_method": "fbgemm_fp8"}, 24, 40,
         {"weight": weight, "weight_scale": scale}, weight.float() * scale.float())
    args = {"num_bits": 8, "type": "float", "symmetric": True, "strategy": "channel"}
    config = {"quant_method": "compressed-tensors", "format": "float-quantized",
              "config_groups": {"group_0": {"targets": ["Linear"], "weights": args}}}
    decoded = dequantize(weight, scale.float(), args=QuantizationArgs(**args), dtype=torch.float32)
    case(folder, "compressed-float8", config, 24, 40, {"weight": weight, "weight_scale": scale.float()}, decoded)


def pack_words(values, bits):
    """AutoGPTQ: along axis 0, the first in the lowest bits."""
    per = 32 // bits
    grouped = values.astype(np.uint32).reshape(values.shape[0] // per, per, *values.shape[1:])
    words = np.zeros((grouped.shape[0], *values.shape[1:]), dtype=np.uint32)
    for i in range(per):
        words |= grouped[:, i] << np.uint32(bits * i)
    return torch.from_numpy(words.view(np.int32))


def gptq(folder):
    r = np.random.default_rng(2)

    def write(name, bits, group, ordered, symmetric, version):
        rows, columns = 24, 128
        size = columns if group == -1 else group
        groups = columns // size
        elements = r.integers(0, 1 << bits, (columns, rows))
        zeros = np.full((groups, rows), 1 << (bits - 1)) if symmetric else r.integers(0, 1 << bits, (groups, rows))
        scales = (r.random((groups, rows)) * 0.1 + 0.001).astype(np.float16)
        order = np.arange(columns) // size
        if ordered:
            order = r.permutation(order)
        stored = zeros if version == "gptq_v2" else (zeros - 1) % (1 << bits)
        weights = scales.astype(np.float32)[order] * (elements - zeros[order]).astype(np.float32)
        config = {"quant_method": "gptq", "bits": bits, "group_size": group, "desc_act": ordered, "sym": symmetric}
        if version:
            config["checkpoint_format"] = version
        case(folder, name, config, rows, columns, {
            "qweight": pack_words(elements, bits),
            "qzeros": pack_words(stored.T, bits).T,
            "scales": torch.from_numpy(scales),
            "g_idx": torch.from_numpy(order.astype(np.int32)),
        }, torch.from_numpy(weights.T.copy()))

    write("gptq-int4-g32", 4, 32, False, True, None)
    write("gptq-int4-g32-act-order", 4, 32, True, True, "gptq")
    write("gptq-int4-asymmetric", 4, 64, True, False, "gptq")
    write("gptq-int4-second-format", 4, 64, False, False, "gptq_v2")
    write("gptq-int4-channel", 4, -1, False, True, None)
    write("gptq-int8-g32", 8, 32, False, True, None)
    write("gptq-int8-asymmetric-act-order", 8, 32, True, False, None)


def awq(folder):
    g = torch.Generator().manual_seed(3)
    rows, columns, group = 32, 128, 32
    words = lambda *shape: torch.randint(-2**31, 2**31 - 1, shape, generator=g, dtype=torch.int64).to(torch.int32)
    qweight, qzeros = words(columns, rows // 8), words(columns // group, rows // 8)
    scales = (torch.rand(columns // group, rows, generator=g) * 0.1 + 0.001).half()
    expected = awq_packing().dequantize_gemm(qweight, qzeros, scales.float(), 4, group)
    case(folder, "awq-int4-g32", {"quant_method": "awq", "bits": 4, "group_size": group, "zero_point": True, "version": "gemm"},
         rows, columns, {"qweight": qweight, "qzeros": qzeros, "scales": scales}, expected.T)


def bitsandbytes(folder):
    torch.manual_seed(4)
    # Rows of whole blocks: its decoder for CPUs reads others wrong (what it decodes then is not near what it was given).
    weight = torch.randn(48, 128)
    for kind in ["nf4", "fp4"]:
        for nested in [False, True]:
            packed, state = bnb.quantize_4bit(weight, blocksize=64, quant_type=kind, compress_statistics=nested)
            beside = {f"weight.{key}": value for key, value in state.as_dict(packed=True).items()}
            config = {"quant_method": "bitsandbytes", "load_in_4bit": True, "bnb_4bit_quant_type": kind,
                      "bnb_4bit_use_double_quant": nested}
            case(folder, f"bnb-{kind}{'-nested' if nested else ''}", config, 48, 128,
                 {"weight": packed} | beside, bnb.dequantize_4bit(packed, state))
    elements, stats, _ = bnb.int8_vectorwise_quant(weight.half())
    case(folder, "bnb-int8", {"quant_method": "bitsandbytes", "load_in_8bit": True}, 48, 128,
         {"weight": elements, "SCB": stats.float(), "weight_format": torch.tensor(0, dtype=torch.uint8)},
         bnb.int8_vectorwise_dequant(elements, stats))


def compressed(folder):
    g = torch.Generator().manual_seed(5)

    def write(name, bits, strategy, group, symmetric):
        rows, columns = 21, 96
        groups = 1 if strategy == "channel" else columns // group
        low, high = -(1 << bits - 1), (1 << bits - 1)
        elements = torch.randint(low, high, (rows, columns), generator=g, dtype=torch.int8)
        scale = (torch.rand(rows, groups, generator=g) * 0.1 + 0.001).bfloat16()
        zero = None if symmetric else torch.randint(low, high, (rows, groups), generator=g, dtype=torch.int8)
        args = {"num_bits": bits, "type": "int", "symmetric": symmetric, "strategy": strategy, "group_size": group}
        tensors = {"weight_packed": pack_to_int32(elements, bits), "weight_scale": scale,
                   "weight_shape": torch.tensor([rows, columns])}
        if not symmetric:
            tensors["weight_zero_point"] = pack_to_int32(zero, bits, packed_dim=0)
        config = {"quant_method": "compressed-tensors", "format": "pack-quantized",
                  "config_groups": {"group_0": {"targets": ["Linear"], "weights": args}}}
        given = {key: value for key, value in args.items() if value is not None}
        decoded = dequantize(elements, scale.float(), zero, args=QuantizationArgs(**given), dtype=torch.float32)
        case(folder, name, config, rows, columns, tensors, decoded)

    write("compressed-int4-g32", 4, "group", 32, True)
    write("compressed-int4-asymmetric", 4, "group", 32, False)
    write("compressed-int4-channel", 4, "channel", None, True)
    write("compressed-int8-channel-asymmetric", 8, "channel", None, False)


def every_code(folder):
    """All codes of the 8-bit floats that are numbers, for the decoders of elements."""
    for name, dtype in [("F8_E4M3", torch.float8_e4m3fn), ("F8_E5M2", torch.float8_e5m2), ("I8", torch.int8)]:
        codes = torch.arange(256, dtype=torch.int32).to(torch.uint8)
        values = codes.view(dtype).float()
        kept = ~values.isnan()
        (folder / f"{name}.blocks").write_bytes(codes[kept].numpy().tobytes())
        (folder / f"{name}.f32").write_bytes(values[kept].numpy().astype("<f4").tobytes())


def main():
    folder = pathlib.Path(sys.argv[1])
    folder.mkdir(parents=True, exist_ok=True)
    for write in [float8, gptq, awq, bitsandbytes, compressed]:
        write(folder)
    every_code(folder.parents[1] / "quant")
    (folder / "cases.json").write_text(json.dumps(CASES, indent=1) + "\n")


if __name__ == "__main__":
    main()
