"""The peer of `./penstock bench tokenizers`: Hugging Face's tokenizers, one thread, in turns with ours.

Reads the file that describes the tokenizer, then a JSON list of texts, named by the arguments. For each line of its
input, "cold" or "warm", it encodes all texts once and answers with the seconds and a checksum of all ids.
"""

import json
import os
import sys
import time
import zlib

os.environ["RAYON_NUM_THREADS"] = "1"
os.environ["TOKENIZERS_PARALLELISM"] = "false"

import numpy
import tokenizers


def main():
    tokenizer = tokenizers.Tokenizer.from_file(sys.argv[1])
    with open(sys.argv[2], encoding="utf-8") as file:
        texts = json.load(file)
    print(tokenizers.__version__, flush=True)
    for line in sys.stdin:
        if line.strip() == "cold":
            # Its cache of words; anew for the texts together, as ours is.
            tokenizer.model._clear_cache()
        began = time.perf_counter()
        # The quickest of its ways: without offsets.
        encodings = [tokenizer.encode_batch_fast([text], add_special_tokens=False)[0] for text in texts]
        seconds = time.perf_counter() - began
        sum_ = 0
        for encoding in encodings:
            sum_ = zlib.crc32(numpy.array(encoding.ids, "<i4").tobytes(), sum_)
        print(seconds, sum_, flush=True)


main()
