"""Writes trigrams.arpa and trigrams.json, which tests/train/arpa.cpp compares with.

    python tests/golden/make_arpa_golden.py [FOLDER]        (default: the folder of this script)

Needs arpa (0.1.0b4). The model is made up: random numbers, some back-off weights left out, and some 3-grams whose last two
words are no 2-gram. Of trigrams.json each row is
    {"history": [words, the oldest first], "word": word, "log10": its log10 P, as arpa says}
"""

import json
import pathlib
import random
import sys

import arpa

WORDS = "<unk> <s> </s> the a cat dog sat ran größe".split()


def numbered(r, low, high):
    return f"{r.uniform(low, high):.5f}"


def make_model(r):
    ends = [w for w in WORDS if w not in ("<s>", "<unk>")]
    starts = [w for w in WORDS if w not in ("</s>", "<unk>")]
    pairs = sorted({(r.choice(starts), r.choice(ends)) for _ in range(30)})
    triples = sorted({(*r.choice([p for p in pairs if p[1] != "</s>"]), r.choice(ends)) for _ in range(25)})
    sections = [[(w,) for w in WORDS], pairs, triples]
    lines = ["\\data\\"] + [f"ngram {n}={len(s)}" for n, s in enumerate(sections, 1)]
    for n, section in enumerate(sections, 1):
        lines += ["", f"\\{n}-grams:"]
        for words in section:
            fields = [numbered(r, -4, 0), " ".join(words)]
            if n < 3 and words[-1] != "</s>" and r.random() < 0.8:
                fields.append(numbered(r, -2, 0.3))
            lines.append("\t".join(fields))
    return "\n".join(lines + ["", "\\end\\", ""])


def main(folder):
    r = random.Random(0)
    (folder / "trigrams.arpa").write_text(make_model(r))
    model = arpa.loadf(str(folder / "trigrams.arpa"))[0]
    rows = []
    for _ in range(300):
        words = [r.choice(WORDS[1:] + ["zebra"]) for _ in range(r.randint(1, 3))]
        log10 = model.log_p(tuple(words))
        rows.append({"history": words[:-1], "word": words[-1], "log10": log10})
    lines = ",\n".join(json.dumps(row, ensure_ascii=False) for row in rows)
    (folder / "trigrams.json").write_text(f"[{lines}]\n")


if __name__ == "__main__":
    main(pathlib.Path(sys.argv[1]) if len(sys.argv) > 1 else pathlib.Path(__file__).parent)
