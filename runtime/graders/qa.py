"""Question answering: the whole output, normalised as SQuAD does (Rajpurkar et al. 2016), is one of the row's aliases.

Containment is no match: an empty output is contained in every answer, and a long list of guesses contains every answer.
"""

from __future__ import annotations

import re
import string
import unicodedata
from collections.abc import Sequence

from runtime.rows import Row

ARTICLES = re.compile(r"\b(?:a|an|the)\b")
PUNCTUATION = str.maketrans(dict.fromkeys(string.punctuation, " "))


def grade_many(rows: Sequence[Row], outputs: Sequence[str]) -> list[bool]:
    """Whether each output is its row's `answer` or one of its `aliases`."""
    return [_matches(row, output) for row, output in zip(rows, outputs, strict=True)]


def normalise(text: str) -> str:
    """Lower case, without punctuation, articles, accents' encodings and repeated space; may be empty."""
    lowered = unicodedata.normalize("NFKC", text).lower().translate(PUNCTUATION)
    return " ".join(ARTICLES.sub(" ", lowered).split())


def _matches(row: Row, output: str) -> bool:
    given = normalise(output)
    return bool(given) and given in {normalise(alias) for alias in (row["answer"], *row.get("aliases", ()))}
