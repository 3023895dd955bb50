"""Writes what the decoders of io.penstock.model.quant are tested against.

For each format: <format>.blocks, random and extreme blocks as a file would hold them, and <format>.f32, what the gguf
package decodes them to (little-endian float32).

    python3 -m venv venv && venv/bin/pip install -r tools/references/requirements-quant.txt
    venv/bin/python tools/references/quant.py
"""

import pathlib

import numpy as np
from gguf import GGML_QUANT_SIZES, GGMLQuantizationType, quants

FOLDER = pathlib.Path(__file__).parents[2] / "model/src/test/resources/io/penstock/model/quant"
BLOCKS = 48
# Zeros of both signs, the least and greatest subnormal and normal halves, and plain values.
HALVES = np.array(
    [0.0, -0.0, 6e-8, 6.0976e-5, 6.1035e-5, 65504.0, -65504.0, 1.0, -1.0, 0.1], dtype=np.float16
)
# Where in a block each format keeps its halves.
SCALES = {
    "Q8_0": [0],
    "Q4_0": [0],
    "Q4_1": [0, 2],
    "Q5_0": [0],
    "Q5_1": [0, 2],
    "Q2_K": [80, 82],
    "Q3_K": [108],
    "Q4_K": [0, 2],
    "Q5_K": [0, 2],
    "Q6_K": [208],
}


def blocks(name: str, random: np.random.Generator) -> np.ndarray:
    _, size = GGML_QUANT_SIZES[GGMLQuantizationType[name]]
    data = random.integers(0, 256, (BLOCKS, size), dtype=np.uint8)
    for at in SCALES[name]:
        halves = random.normal(0, 0.05, BLOCKS).astype(np.float16)
        halves[: len(HALVES)] = random.permutation(HALVES)
        data[:, at : at + 2] = halves.reshape(-1, 1).view(np.uint8)
    return data


def main() -> None:
    random = np.random.default_rng(4)
    FOLDER.mkdir(parents=True, exist_ok=True)
    for name in ["Q8_0", "Q4_0", "Q4_1"]:
        write(name, blocks(name, random))
    later = np.random.default_rng(5)
    for name in ["Q5_0", "Q5_1", "Q2_K", "Q3_K", "Q4_K", "Q5_K", "Q6_K"]:
        write(name, blocks(name, later))
    # Every finite half; NaNs are left out because their payload is nobody's promise.
    halves = np.arange(1 << 16, dtype=np.uint16).view(np.float16)
    write("F16", halves[~np.isnan(halves)][::7].copy().reshape(1, -1).view(np.uint8))
    brains = (np.arange(1 << 16, dtype=np.uint32) << 16).view(np.float32)
    kept = brains[~np.isnan(brains)][::7].copy()
    write("BF16", (kept.view(np.uint32) >> 16).astype(np.uint16).reshape(1, -1).view(np.uint8))
    floats = random.normal(0, 1, 64).astype(np.float32)
    write("F32", floats.reshape(1, -1).view(np.uint8))


def write(name: str, data: np.ndarray) -> None:
    decoded = quants.dequantize(data, GGMLQuantizationType[name]).astype("<f4")
    (FOLDER / f"{name}.blocks").write_bytes(data.tobytes())
    (FOLDER / f"{name}.f32").write_bytes(decoded.tobytes())
    print(name, data.size, "bytes", decoded.size, "elements")


if __name__ == "__main__":
    main()
