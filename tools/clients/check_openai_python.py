#!/usr/bin/env python3
"""Talks to a running gateway with the official `openai` package and checks what comes back.

Usage: check_openai_python.py [base url, default http://localhost:8080/v1] [model, default the first listed]
Needs `pip install openai`. Ends with 0 if all is as it should be, else names what is not.
"""

import sys

import openai


def expect(holds: bool, what: str) -> None:
    if not holds:
        sys.exit(f"not as expected: {what}")
    print(f"ok: {what}")


def refused(kind: type, call, what: str) -> openai.APIStatusError:
    try:
        call()
    except kind as error:
        print(f"ok: {what}")
        return error
    sys.exit(f"not as expected: {what}")


def main() -> None:
    base_url = sys.argv[1] if len(sys.argv) > 1 else "http://localhost:8080/v1"
    client = openai.OpenAI(base_url=base_url, api_key="none", max_retries=0, _strict_response_validation=True)
    model = sys.argv[2] if len(sys.argv) > 2 else client.models.list().data[0].id
    messages = [{"role": "user", "content": "Name three colours."}]
    chat = client.chat.completions.create

    expect(client.models.retrieve(model).id == model, "the model can be looked up")

    whole = chat(model=model, messages=messages, temperature=0, max_tokens=24)
    choice = whole.choices[0]
    expect(bool(choice.message.content), "a chat has an answer")
    expect(choice.finish_reason in ("stop", "length"), "and a reason for its end")
    expect(whole.usage.total_tokens == whole.usage.prompt_tokens + whole.usage.completion_tokens, "usage adds up")

    chunks = list(chat(model=model, messages=messages, temperature=0, max_tokens=24, stream=True,
                       stream_options={"include_usage": True}))
    deltas = [chunk.choices[0] for chunk in chunks if chunk.choices]
    text = "".join(delta.delta.content or "" for delta in deltas)
    expect(text == choice.message.content, "the stream says what the whole answer says")
    expect([delta.delta.role for delta in deltas if delta.delta.role] == ["assistant"], "the role comes once")
    expect([delta.finish_reason for delta in deltas if delta.finish_reason] == [choice.finish_reason],
           "the reason comes once")
    expect(len({(chunk.id, chunk.created, chunk.model) for chunk in chunks}) == 1, "all chunks have one id")
    expect(not chunks[-1].choices and chunks[-1].usage == whole.usage, "the last chunk has the usage")

    first = chat(model=model, messages=messages, seed=7, temperature=1.0, max_tokens=16)
    second = chat(model=model, messages=messages, seed=7, temperature=1.0, max_tokens=16)
    expect(first.choices[0].message.content == second.choices[0].message.content, "a seed repeats a draw")

    several = chat(model=model, messages=messages, n=3, seed=1, max_tokens=8)
    expect([choice.index for choice in several.choices] == [0, 1, 2], "n choices come in order")

    probable = chat(model=model, messages=messages, temperature=0, max_tokens=8, logprobs=True, top_logprobs=2)
    content = probable.choices[0].logprobs.content
    expect(all(token.logprob <= 0 and len(token.top_logprobs) == 2 for token in content), "log-probabilities come")
    expect(bytes(sum((token.bytes for token in content), [])).decode() == probable.choices[0].message.content,
           "and their bytes are the text")

    word = text.split()[1].strip(",.*:") if len(text.split()) > 1 else text
    stopped = chat(model=model, messages=messages, temperature=0, max_tokens=24, stop=word)
    expect(word not in stopped.choices[0].message.content and text.startswith(stopped.choices[0].message.content),
           "a stop text ends the answer before itself")

    completed = client.completions.create(model=model, prompt="The sky is", temperature=0, max_tokens=6, echo=True)
    expect(completed.choices[0].text.startswith("The sky is"), "a text is completed")

    error = refused(openai.NotFoundError, lambda: chat(model="none-such", messages=messages), "no such model")
    expect(error.code == "model_not_found", "and the code says so")
    error = refused(openai.BadRequestError, lambda: chat(model=model, messages=messages, temperature=9),
                    "a temperature out of bounds")
    expect(error.param == "temperature", "and the parameter is named")
    error = refused(openai.BadRequestError,
                    lambda: chat(model=model, messages=[{"role": "user", "content": "word " * 200_000}]),
                    "a prompt beyond the context")
    expect(error.code == "context_length_exceeded", "and the code says so")

    with chat(model=model, messages=messages, stream=True, extra_body={"ignore_eos": True}) as stream:
        next(iter(stream))
    print("ok: a stream that is left does no harm")


main()
