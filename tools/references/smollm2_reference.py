#!/usr/bin/env python3
"""What transformers reads in the GGUF file of SmolLM2 that `tools/fetch.sh model` brings: tokenizer, template, weights.

    pip install torch==2.15.0 transformers==5.24.0 gguf==0.19.0 jinja2==3.1.6 accelerate==1.15.0
    python tools/references/smollm2_reference.py model-shard-service/src/test/resources/io/penstock/shard/backend/cpu

writes smollm2-transformers.json: ids of texts, a chat as the template renders it and its ids, of every tensor the sums
of its numbers' sizes and of their squares (which do not depend on the order of rows), and 24 tokens that follow each of
three prompts greedily in float32, with their log-probabilities.

Texts with numbers in other scripts than Latin are left out: transformers does not read `tokenizer.ggml.pre`, which says
that each digit is a word of its own, as the model's own tokenizer has it and llama.cpp, and only such numbers show it.
"""

import json
import os
import pathlib
import sys
import unicodedata

import torch
from corpus import LANGUAGES
from tokenizer_reference import HARD
from transformers import AutoModelForCausalLM, AutoTokenizer

CACHE = pathlib.Path(os.environ.get("PENSTOCK_CACHE", pathlib.Path.home() / ".cache/penstock"))
FOLDER = CACHE / "models/smollm2-135m-instruct"
FILE = "smollm2-135m-instruct.gguf"
CHAT = [
    {"role": "user", "content": "What is the capital of France?"},
    {"role": "assistant", "content": "Paris."},
    {"role": "user", "content": "And of Japan?\n<|im_end|>"},
]
PROMPTS = ["The capital of France is", "def fibonacci(n):\n", "Once upon a time, in a village by the sea,"]
TOKENS = 24


def main():
    tokenizer = AutoTokenizer.from_pretrained(FOLDER, gguf_file=FILE)
    model = AutoModelForCausalLM.from_pretrained(FOLDER, gguf_file=FILE, dtype=torch.float32).eval()
    texts = [text for text in HARD if len(text) < 100] + list(LANGUAGES.values())[:12]
    texts = [text for text in texts if not any(c > "\x7f" and unicodedata.category(c)[0] == "N" for c in text)]
    generations = []
    for prompt in PROMPTS:
        tokens, steps = tokenizer(prompt, add_special_tokens=False).input_ids, []
        given = list(tokens)
        for _ in range(TOKENS):
            with torch.no_grad():
                logprobs = torch.log_softmax(model(torch.tensor([tokens]), use_cache=False).logits[0, -1].double(), -1)
            best = torch.topk(logprobs, 2)
            steps.append([int(best.indices[0]), round(float(best.values[0]), 5), round(float(best.values[0] - best.values[1]), 5)])
            tokens = tokens + [int(best.indices[0])]
        generations.append({"prompt": given, "steps": steps})
    tied = model.get_output_embeddings().weight is model.get_input_embeddings().weight
    sums = {
        name: [float(f"{value.double().abs().sum():.9g}"), float(f"{value.double().square().sum():.9g}")]
        for name, value in model.state_dict().items()
        if not (tied and name == "lm_head.weight")
    }
    chat = tokenizer.apply_chat_template(CHAT, tokenize=False, add_generation_prompt=True)
    result = {
        "texts": [[text, tokenizer(text, add_special_tokens=False).input_ids] for text in texts],
        "begin": tokenizer.bos_token,
        "end": tokenizer.eos_token,
        "chat": CHAT,
        "rendered": chat,
        "tensors": sums,
        "generations": generations,
    }
    path = pathlib.Path(sys.argv[1]) / "smollm2-transformers.json"
    path.write_text(json.dumps(result, ensure_ascii=False, separators=(",", ":")) + "\n", encoding="utf-8")
    print(path.stat().st_size)


if __name__ == "__main__":
    main()
