"""Writes text_errors.json, which tests/train/text_errors.cpp compares with: errors as jiwer counts them.

    python tests/golden/make_text_errors_golden.py [FOLDER]        (default: the folder of this script)

Needs jiwer (4.0). A list of
    {"reference": text, "hypothesis": text, "words": [errors, length], "characters": [errors, length]}
where length is that of the reference. Only the sum of the errors is kept: jiwer splits it into kinds by its search's path.
"""

import json
import pathlib
import random
import sys

import jiwer

FIXED = [
    ("the cat sat", "the cat sat"),
    ("the cat sat", ""),
    ("one", "one two three four"),
    ("a  b   c", "a b c"),
    ("  a b ", "a c b"),
    ("naïve café", "naive cafe"),
    ("größe", "grosse"),
    ("日本 語", "日 本語"),
    ("it's", "its"),
    ("Case counts.", "case counts"),
    ("a b c d e f", "b c d e f a"),
    ("e n t e r four five", "enter four five"),
]


def changed(words, r):
    out = []
    for word in words:
        kind = r.random()
        if kind < 0.1:
            continue
        if kind < 0.2:
            out.append(r.choice(WORDS))
        elif kind < 0.3:
            i = r.randrange(len(word))
            out.append(word[:i] + r.choice("abcdeé") + word[i + 1 :])
        else:
            out.append(word)
        if r.random() < 0.1:
            out.append(r.choice(WORDS))
    return out


WORDS = "a an and ant band land sand eleven even seven event été état tea eat".split()


def main(folder):
    r = random.Random(0)
    pairs = list(FIXED)
    for _ in range(60):
        words = [r.choice(WORDS) for _ in range(r.randint(1, 25))]
        pairs.append((" ".join(words), " ".join(changed(words, r))))
    rows = []
    for reference, hypothesis in pairs:
        # jiwer's own characters keep runs of spaces, its words do not: both see single ones here.
        a, b = (" ".join(text.split()) for text in (reference, hypothesis))
        row = {"reference": reference, "hypothesis": hypothesis}
        for name, out in (("words", jiwer.process_words(a, b)), ("characters", jiwer.process_characters(a, b))):
            errors = out.substitutions + out.deletions + out.insertions
            row[name] = [errors, out.hits + out.substitutions + out.deletions]
        rows.append(row)
    lines = ",\n".join(json.dumps(row, ensure_ascii=False) for row in rows)
    (folder / "text_errors.json").write_text(f"[{lines}]\n")


if __name__ == "__main__":
    main(pathlib.Path(sys.argv[1]) if len(sys.argv) > 1 else pathlib.Path(__file__).parent)
