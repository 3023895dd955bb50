#!/usr/bin/env python3
"""Token ids that SentencePiece and Hugging Face's `tokenizers` give of one small SentencePiece vocabulary.

    pip install sentencepiece==0.2.3 tokenizers==0.23.3 gguf==0.19.0 numpy==2.4.6
    python tools/references/sentencepiece_reference.py model/src/test/resources/io/penstock/model/tokenizer/pieces

trains a BPE model with byte fallback on the hard cases of tokenizer_reference.py, and writes

- pieces.gguf: its vocabulary in a GGUF file, beside a llama of one layer, so that it is a whole checkpoint
- sentencepiece.jsonl: [text, ids] of SentencePiece itself, which that file must give
- tokenizer.json: the same vocabulary for `tokenizers`, its merges all pairs of pieces that spell a piece, by score
- tokenizers.jsonl: [kind, text, ids, decoded] of `tokenizers`, for the ways of KINDS to write the text

    … --random 100000 --seed 7 FOLDER

writes as many random cases, for a comparison by hand (`TestPieceTokenizer` reads the folder that the system property
penstock.tokenizer.pieces names).
"""

import argparse
import io
import json
import pathlib
import random

import gguf
import numpy as np
import sentencepiece
from tokenizer_reference import HARD, draw
from tokenizers import AddedToken, Tokenizer, decoders, models, normalizers, pre_tokenizers

SIZE = 640
CONTROL = "<|control|>"
USER_DEFINED = "<|user|>"
KINDS = {
    "legacy": (normalizers.Sequence([normalizers.Prepend("▁"), normalizers.Replace(" ", "▁")]), None),
    "replaced": (normalizers.Replace(" ", "▁"), None),
    "first": (None, pre_tokenizers.Metaspace(prepend_scheme="first", split=False)),
    "always": (None, pre_tokenizers.Metaspace(prepend_scheme="always", split=False)),
    "never": (None, pre_tokenizers.Metaspace(prepend_scheme="never", split=False)),
    "split": (None, pre_tokenizers.Metaspace(prepend_scheme="first", split=True)),
}


def train(words):
    model = io.BytesIO()
    sentencepiece.SentencePieceTrainer.train(
        sentence_iterator=iter(words * 3),
        model_writer=model,
        model_type="bpe",
        vocab_size=SIZE,
        character_coverage=0.98,
        byte_fallback=True,
        normalization_rule_name="identity",
        remove_extra_whitespaces=False,
        allow_whitespace_only_pieces=True,
        control_symbols=[CONTROL],
        user_defined_symbols=[USER_DEFINED],
        num_threads=1,
        minloglevel=2,
    )
    return sentencepiece.SentencePieceProcessor(model_proto=model.getvalue())


def write_gguf(model, path):
    kinds = []
    for piece in range(SIZE):
        kinds.append(
            2 if model.is_unknown(piece) else 6 if model.is_byte(piece) else 3 if model.is_control(piece) else 1
        )
    kinds[model.piece_to_id(USER_DEFINED)] = 4
    writer = gguf.GGUFWriter(path, "llama")
    writer.add_block_count(1)
    writer.add_context_length(64)
    writer.add_embedding_length(2)
    writer.add_feed_forward_length(2)
    writer.add_head_count(1)
    writer.add_layer_norm_rms_eps(1e-5)
    writer.add_tokenizer_model("llama")
    writer.add_tokenizer_pre("default")
    writer.add_token_list([model.id_to_piece(piece) for piece in range(SIZE)])
    writer.add_token_scores([model.get_score(piece) for piece in range(SIZE)])
    writer.add_token_types(kinds)
    writer.add_bos_token_id(model.bos_id())
    writer.add_eos_token_id(model.eos_id())
    writer.add_add_space_prefix(True)
    writer.add_tensor("token_embd.weight", np.zeros((SIZE, 2), np.float16))
    writer.add_tensor("output_norm.weight", np.ones(2, np.float32))
    for name in ["attn_norm", "ffn_norm"]:
        writer.add_tensor(f"blk.0.{name}.weight", np.ones(2, np.float32))
    for name in ["attn_q", "attn_k", "attn_v", "attn_output", "ffn_gate", "ffn_up", "ffn_down"]:
        writer.add_tensor(f"blk.0.{name}.weight", np.zeros((2, 2), np.float32))
    writer.write_header_to_file()
    writer.write_kv_data_to_file()
    writer.write_tensors_to_file()
    writer.close()


def hugging_face(model):
    pieces = {model.id_to_piece(piece): piece for piece in range(SIZE)}
    normal = {p: i for p, i in pieces.items() if not (model.is_control(i) or model.is_byte(i) or model.is_unknown(i))}
    del normal[USER_DEFINED]
    merges = []
    for piece, number in normal.items():
        for cut in range(1, len(piece)):
            if piece[:cut] in normal and piece[cut:] in normal:
                merges.append((-model.get_score(number), normal[piece[:cut]], piece[:cut], piece[cut:]))
    tokenizer = Tokenizer(
        models.BPE(
            vocab=pieces,
            merges=[(left, right) for _, _, left, right in sorted(merges)],
            unk_token="<unk>",
            fuse_unk=True,
            byte_fallback=True,
        )
    )
    tokenizer.decoder = decoders.Sequence(
        [decoders.Replace("▁", " "), decoders.ByteFallback(), decoders.Fuse(), decoders.Strip(" ", 1, 0)]
    )
    tokenizer.add_special_tokens([AddedToken(p, special=True, normalized=False) for p in ["<unk>", "<s>", "</s>"]])
    # As the first files of Llama 2 have it: looked for in normalised text, written as that is.
    tokenizer.add_special_tokens([AddedToken(CONTROL, special=True, normalized=True)])
    tokenizer.add_tokens([AddedToken(USER_DEFINED, special=False, normalized=False)])
    return tokenizer


def main():
    arguments = argparse.ArgumentParser()
    arguments.add_argument("--random", type=int, default=0)
    arguments.add_argument("--seed", type=int, default=20261130)
    arguments.add_argument("folder", type=pathlib.Path)
    arguments = arguments.parse_args()
    arguments.folder.mkdir(parents=True, exist_ok=True)
    words = [text for text in HARD if 0 < len(text) < 80 and "\0" not in text]
    words += [word for text in words for word in text.split()]
    model = train(words)
    tokenizer = hugging_face(model)
    if not arguments.random:
        write_gguf(model, arguments.folder / "pieces.gguf")
        tokenizer.normalizer, _ = KINDS["legacy"]
        (arguments.folder / "tokenizer.json").write_text(tokenizer.to_str(), encoding="utf-8")
    rng = random.Random(arguments.seed)
    texts = [draw(rng, words) for _ in range(arguments.random or 150)]
    texts = [text for text in texts if arguments.random or len(text) < 120]
    texts = texts if arguments.random else HARD + ["▁a ▁ b▁", "<s>", "<0x41>", " a", "  a"] + texts
    added = ["<s>", "</s>", CONTROL, USER_DEFINED, " " + CONTROL]

    control = tokenizer.token_to_id(CONTROL)

    def line(out, *parts):
        out.write(json.dumps(parts, ensure_ascii=False, separators=(",", ":")) + "\n")

    with open(arguments.folder / "sentencepiece.jsonl", "w", encoding="utf-8") as out:
        for text in texts:
            # Not seen as text by SentencePiece: the end of a C string, and what it finds as one piece.
            if "\0" not in text and USER_DEFINED not in text:
                line(out, text, model.encode(text))
    with open(arguments.folder / "tokenizers.jsonl", "w", encoding="utf-8") as out:
        for kind, (normalizer, splitter) in KINDS.items():
            if normalizer:
                tokenizer.normalizer = normalizer
            else:
                tokenizer.normalizer = normalizers.Sequence([])
            if splitter:
                tokenizer.pre_tokenizer = splitter
            mine = texts if arguments.random else rng.sample(texts, 25)
            mine = mine + ["".join(part + rng.choice(added) for part in text.partition(" ")) for text in mine[:12]]
            for text in mine + ["", " ", " a", "a", "<s> a", "a<s>", CONTROL + "a", "a " + CONTROL]:
                ids = tokenizer.encode(text, add_special_tokens=False).ids
                # It knows a token that is looked for in normalised text by that spelling, and then not for a special one.
                line(out, kind, text, ids, tokenizer.decode([i for i in ids if i != control]))


if __name__ == "__main__":
    main()
