#!/usr/bin/env python3
"""Token ids that Hugging Face's `tokenizers` gives, for the tests of io.penstock.model.tokenizer.

    pip install tokenizers==0.23.3 gguf==0.19.0
    python tools/references/tokenizer_reference.py model/src/test/resources/io/penstock/model/tokenizer

writes one fixture per tokenizer: hard cases and a seeded draw of random ones. Each line is JSON: text, ids. Beside
them decoding.jsonl: bytes in hexadecimal, and the text that Python decodes them to with errors="replace". The
tokenizers and the model are those that `tools/fetch.sh tokenizers` and `tools/fetch.sh model` bring.

    python tools/references/tokenizer_reference.py --random 100000 DIR

writes the same for many random strings only, for a comparison by hand (`TestTokenizerReference` reads the folder that
the system property penstock.tokenizer.cases names).
"""

import argparse
import json
import os
import pathlib
import random
import unicodedata

import gguf
from tokenizers import AddedToken, Tokenizer, models, pre_tokenizers

CACHE = pathlib.Path(os.environ.get("PENSTOCK_CACHE", pathlib.Path.home() / ".cache/penstock"))
NAMES = ["qwen2_5", "qwen3", "deepseek_v3", "llama3_1", "llama2", "smollm2"]

HARD = [
    "",
    " ",
    "\n",
    "a",
    "Hello, world!",
    "I'm you're we've he'll she'd it's DON'T I'LL 'S 'ſ 'ſt can'T",
    "  leading and trailing  ",
    "tabs\t\tand\r\nlines\r\n\r\n  \n\n   x\n \n y",
    "1 12 123 1234 12345 1234567890 3.14159 1,000,000 2²³ ½ Ⅷ ٣٤٥ १२३ 𝟘𝟙𝟚𝟛 ①②",
    "\U00011de0\U00011de5 a\U00011de3b \U00016ff4\U00016ff6",
    "snake_case camelCase kebab-case SCREAMING_CASE x86_64",
    "def f(x):\n    return [i**2 for i in range(x) if i % 2 == 0]  # squares\n",
    "for (int i = 0; i < n; i++) {\n\t\tsum += a[i] * b[i]; // dot\n}\n\n\n",
    "<div class=\"a\">&nbsp;</div><!-- c -->",
    "https://example.com/a/b?c=d&e=%20#f",
    "日本語のテキストと漢字、カタカナ。ｶﾀｶﾅ",
    "中文文本，包括标点符号。龥龦㐀𠀀",
    "한국어 텍스트 각각",
    "Привет, мир! Ёлка",
    "Γειά σου Κόσμε ΐ ΐ",
    "مرحبا بالعالم ًٌٍ",
    "שלום עולם שָׁלוֹם",
    "नमस्ते दुनिया क्षि",
    "สวัสดีชาวโลก ก็",
    "Tiếng Việt có dấu Tiếng Việt",
    "e\u0301 é \u0041\u030a Å \u212b ﬁ ǆ ẛ̣ \u1e9b\u0323 q\u0307\u0323 q\u0323\u0307",
    "\u0301 lone mark \u0301\u0301\u0301 a\u0301\u0302\u0303",
    "😀😃😄 👨‍👩‍👧‍👦 🏳️‍🌈 🇩🇪🇫🇷 👍🏽 ❤️",
    "\u200b\u200c\u200d\u2060\ufeff zero \u200dwidth",
    "\u00a0nbsp\u00a0 \u2003em\u3000wide\u2028line\u2029par\u0085nel\u1680ogham",
    "\u0000\u0001\u001f\u007f\u0080\u009f controls",
    "\ue000\uf8ff\U000f0000\U0010ffff private \ufdd0\ufffe\uffff",
    "\u0378\u0379 unassigned \U000323b0",
    "𝒜𝓁𝓅𝒽𝒶 𝕬 ℵ ℝ ∀x∈ℝ ∑∫√∞ ≠≤≥ ⟨⟩",
    "…—–“”‘’«»„‚¿¡§¶†‡•",
    "!!!??? ...--- ~~~ ``` ### $$$ %%% ^^^ &&& *** ((( ))) === +++ ||| \\\\\\ /// ::: ;;; ,,, <<< >>>",
    "!abc #tag @user $var %s ^x &y *z (w -v +u =t [s ]r {q }p \\o |n ;m :l 'k \"j ,i .h /g <f >e ?d ~c `b _a",
    " !abc  #tag \n@user\n\n$var",
    "a" * 300,
    " " * 300 + "x",
    "\n" * 300,
    "ab" * 200,
    "\u0301" * 100,
    "=" * 257 + "\n" + "-" * 99,
    "0" * 100,
    "aaaaaaaabbbbbbbbccccccccddddddddeeeeeeeeffffffffgggggggghhhhhhhh",
    "Donaudampfschifffahrtselektrizitätenhauptbetriebswerkbauunterbeamtengesellschaft",
    "pneumonoultramicroscopicsilicovolcanoconiosis antidisestablishmentarianism",
    "\U00010000\U0001f600\U0002f800 \uf900 \ufa30",
    "ǅ ǈ ǋ ʰʱ ˈˌ ªº ⁿ ₂ ⅷ ㈠ ㊀ 〇〡",
    "ÅÅ Ω Ω K K 가 각 ẹ́ ệ",
    "\U000105c9 \U000105d2\u0307 \U00011382\U000113c9 \U00016d68\U00016d67 \U0001e5ee\U0001e5ef \u0897\u0301 a\u1ae0\u0301",
]

BLOCKS = [
    (0x20, 0x7E), (0x20, 0x7E), (0x61, 0x7A), (0x09, 0x0D), (0x80, 0xFF), (0x100, 0x24F), (0x250, 0x36F), (0x300, 0x36F),
    (0x370, 0x3FF), (0x400, 0x52F), (0x590, 0x6FF), (0x900, 0xDFF), (0xE00, 0xFFF), (0x1100, 0x11FF), (0x1E00, 0x1FFF),
    (0x2000, 0x206F), (0x2070, 0x2BFF), (0x3000, 0x30FF), (0x3400, 0x4DBF), (0x4E00, 0x9FFF), (0xAC00, 0xD7A3),
    (0xE000, 0xF8FF), (0xF900, 0xFFFF), (0x10000, 0x10FFF), (0x11000, 0x13FFF), (0x16000, 0x1AFFF), (0x1D000, 0x1EFFF),
    (0x1F000, 0x1FAFF), (0x20000, 0x323AF), (0xE0000, 0x10FFFF), (0x0, 0x10FFFF),
]
SPICE = [" ", "  ", "\n", "\r\n", "\t", "'s", "'LL", "'", " '", "123", "1", "\u0301", "\u200d", ".", "!", " !", "_", "\u00a0", "ſ"]


def draw(rng, words):
    """A string of a few runs: each of one block of Unicode, of spice, or of real words."""
    out = []
    for _ in range(rng.randint(1, 8)):
        kind = rng.random()
        if kind < 0.3:
            out.append(rng.choice(SPICE) * rng.choice([1, 1, 1, 2, 5]))
        elif kind < 0.5:
            out.append(rng.choice(words))
        else:
            first, last = rng.choice(BLOCKS)
            run = "".join(chr(rng.randint(first, last)) for _ in range(rng.randint(1, 12)))
            out.append("".join(c for c in run if not 0xD800 <= ord(c) < 0xE000))
    text = "".join(out)
    return unicodedata.normalize("NFD", text) if rng.random() < 0.1 else text


def smollm2():
    reader = gguf.GGUFReader(CACHE / "models/smollm2-135m-instruct/smollm2-135m-instruct.gguf")
    value = lambda key: reader.fields["tokenizer.ggml." + key].contents()
    tokens, types = value("tokens"), value("token_type")
    merges = [tuple(merge.split(" ")) for merge in value("merges")]
    tokenizer = Tokenizer(models.BPE(vocab={token: i for i, token in enumerate(tokens)}, merges=merges))
    tokenizer.pre_tokenizer = pre_tokenizers.Sequence(
        [pre_tokenizers.Digits(individual_digits=True), pre_tokenizers.ByteLevel(add_prefix_space=False)]
    )
    tokenizer.add_special_tokens(
        [AddedToken(token, special=True, normalized=False) for token, kind in zip(tokens, types) if kind == 3]
    )
    return tokenizer


def load(name):
    return smollm2() if name == "smollm2" else Tokenizer.from_file(str(CACHE / "tokenizers" / name / "tokenizer.json"))


def decodings(rng):
    """Bytes that are UTF-8, and bytes that are not: cut, overlong, surrogates, beyond the last code point."""
    parts = [b"a", "é".encode(), "東".encode(), "😀".encode(), b"\x80", b"\xc0\xaf", b"\xe0\x80\xaf", b"\xed\xa0\x80"]
    parts += [b"\xf0\x80\x80\xaf", b"\xf4\x90\x80\x80", b"\xf5", b"\xff", b"\xe6\x9d", b"\xf0\x9f\x98", b"\xc3", b"\xed\xb0"]
    for part in parts:
        yield part
        yield part + b"z"
    for _ in range(150):
        yield b"".join(rng.choice(parts) for _ in range(rng.randint(1, 9)))
        yield bytes(rng.choice([rng.randint(0, 255), rng.randint(0x80, 0xF8)]) for _ in range(rng.randint(1, 12)))


def main():
    arguments = argparse.ArgumentParser()
    arguments.add_argument("--random", type=int, default=0)
    arguments.add_argument("--seed", type=int, default=20261124)
    arguments.add_argument("folder", type=pathlib.Path)
    arguments = arguments.parse_args()
    arguments.folder.mkdir(parents=True, exist_ok=True)
    if not arguments.random:
        with open(arguments.folder / "decoding.jsonl", "w", encoding="utf-8") as out:
            for data in decodings(random.Random(arguments.seed)):
                out.write(json.dumps([data.hex(), data.decode("utf-8", errors="replace")]) + "\n")
    for name in NAMES:
        tokenizer = load(name)
        added = [token.content for token in tokenizer.get_added_tokens_decoder().values()]
        words = [text for text in HARD if 0 < len(text) < 80]
        words += [word for text in HARD for word in text.split() if word]
        rng = random.Random(f"{arguments.seed} {name}")
        texts = [draw(rng, words) for _ in range(arguments.random or 150)]
        # With added tokens among them; those are read as trusted text.
        mixed = ["".join(part + rng.choice(added) for part in draw(rng, words).partition(" ")) for _ in range(len(texts) // 5)]
        mixed += [added[0][:-1], added[0] * 2, added[1] + " " + added[0] + "\n" + added[1]]
        texts = [text for text in texts + mixed if arguments.random or len(text) < 200]
        texts = texts if arguments.random else HARD + texts
        with open(arguments.folder / f"{name}.jsonl", "w", encoding="utf-8") as out:
            for text in texts:
                ids = tokenizer.encode(text, add_special_tokens=False).ids
                out.write(json.dumps([text, ids], ensure_ascii=False, separators=(",", ":")) + "\n")


if __name__ == "__main__":
    main()
