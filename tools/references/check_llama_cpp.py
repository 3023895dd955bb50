#!/usr/bin/env python3
"""Holds the fixtures that are GGUF files against llama.cpp, the program that such files are made for.

    pip install llama-cpp-python==0.3.36 numpy==2.4.6
    python tools/references/check_llama_cpp.py model/src/test/resources/io/penstock/model/tokenizer/pieces \
        model-shard-service/src/test/resources/io/penstock/shard/backend/cpu/gguf

Ids of pieces.gguf, special tokens among them, must be those that SentencePiece and `tokenizers` gave. Of the models the
log-probabilities of the reference's best tokens must be llama.cpp's, up to what its 8-bit activations cost; settings that
were written otherwise than it reads them would be off by far more.
"""

import json
import pathlib
import sys

import llama_cpp
import numpy as np

TOLERANCE = 0.15


def lines(path):
    return [json.loads(line) for line in path.read_text("utf-8").rstrip("\n").split("\n")]


def tokens(folder):
    llama = llama_cpp.Llama(str(folder / "pieces.gguf"), vocab_only=True, verbose=False)
    cases = [(text, ids, False) for text, ids in lines(folder / "sentencepiece.jsonl")]
    # That token is looked for in normalised text there, and in raw text here.
    cases += [(text, ids, True) for kind, text, ids, _ in lines(folder / "tokenizers.jsonl") if kind == "legacy" and "control" not in text]
    for text, ids, special in cases:
        # It ends text at a 0.
        if "\0" not in text:
            own = llama.tokenize(text.encode(), add_bos=False, special=special)
            assert own == ids, f"{text!r}: {own}, not {ids}"
    print(f"{len(cases)} texts, every id equal")


def models(folder):
    for path in sorted(folder.glob("*.gguf")):
        if path.stem == "deepseek-v2":
            # It tells models whose queries are not compressed by their number of layers, 26 or 27.
            continue
        llama = llama_cpp.Llama(
            str(path), n_ctx=512, n_batch=512, logits_all=True, verbose=False, n_threads=1,
            type_k=llama_cpp.GGML_TYPE_F32, type_v=llama_cpp.GGML_TYPE_F32)
        off = []
        for case in json.loads(path.with_suffix(".json").read_text()):
            greedy = [step["ids"][0] for step in case["steps"]]
            llama.reset()
            llama.eval(case["prompt"] + greedy[:-1])
            first = len(case["prompt"]) - 1
            logits = np.array(llama.scores[first : first + len(greedy)], np.float64)
            logprobs = logits - np.log(np.exp(logits - logits.max(-1, keepdims=True)).sum(-1, keepdims=True)) - logits.max(-1, keepdims=True)
            for step, own in zip(case["steps"], logprobs):
                off.append(np.abs(own[step["ids"]] - step["logprobs"]).max())
        print(f"{path.stem}: {len(off)} steps, half within {np.median(off):.3f}, 19 of 20 within {np.quantile(off, 0.95):.3f}")
        # Not all: where two experts are nearly as good, another may be taken.
        assert np.quantile(off, 0.95) < TOLERANCE


if __name__ == "__main__":
    tokens(pathlib.Path(sys.argv[1]))
    models(pathlib.Path(sys.argv[2]))
