#!/usr/bin/env python3
"""Greedy continuations of chat prompts in float32, the yardstick of the system tests.

Needs a running llama-server (llama.cpp, built from the llama-cpp-python 0.3.36 source package) on the float32 version of
the test model, with nothing rounded on the way:

    llama-quantize --allow-requantize smollm2-135m-instruct.gguf f32.gguf F32
    llama-server -m f32.gguf --port 8090 -c 4096 -np 1 -ctk f32 -ctv f32 -fa off
    greedy_reference.py --url http://127.0.0.1:8090 > cli/src/test/resources/greedy-reference.jsonl

One line a prompt: its messages, its token ids by the model's own template, up to 48 greedy ids (the end token is kept
as the last one), the log-probability of each, and its distance to the second best (null where the server tells none):
where that is under 1e-3, another order of summation may rightly choose differently.
"""
import argparse
import json
import pathlib
import urllib.request

TOKENS = 48


def post(url, path, body):
    request = urllib.request.Request(url + path, json.dumps(body).encode(), {"Content-Type": "application/json"})
    with urllib.request.urlopen(request, timeout=600) as response:
        return json.load(response)


def reference(url, name, messages):
    text = post(url, "/apply-template", {"messages": messages})["prompt"]
    ids = post(url, "/tokenize", {"content": text, "add_special": False, "parse_special": True})["tokens"]
    greedy, top = [], []
    # One request a token: the server tells no probabilities of a token that ends inside a character.
    while len(greedy) < TOKENS:
        answer = post(url, "/completion", {
            "prompt": ids + greedy, "n_predict": 1, "temperature": 0, "samplers": ["top_k"], "top_k": 1,
            "repeat_penalty": 1.0, "return_tokens": True, "n_probs": 2, "cache_prompt": True,
        })
        greedy += answer["tokens"]
        steps = answer.get("completion_probabilities")
        top.append([t["logprob"] for t in steps[0]["top_logprobs"]] if steps else None)
        if answer["stop_type"] == "eos":
            break
    assert len(greedy) == len(top)
    return {
        "name": name,
        "messages": messages,
        "prompt_ids": ids,
        "greedy_ids": greedy,
        "logprobs": [t and round(t[0], 6) for t in top],
        "margins": [t and round(t[0] - t[1], 6) for t in top],
    }


def main():
    arguments = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    arguments.add_argument("--url", default="http://127.0.0.1:8090")
    url = arguments.parse_args().url
    prompts = json.loads((pathlib.Path(__file__).parent / "chat_prompts.json").read_text())
    for name, messages in prompts.items():
        print(json.dumps(reference(url, name, messages), ensure_ascii=True), flush=True)


if __name__ == "__main__":
    main()
