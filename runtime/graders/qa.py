"""Question answering: the answer, normalised as SQuAD does (Rajpurkar et al. 2016), is one of the row's aliases.

The answer is the whole output, or what a tag or "The answer is:" sets off. Containment is no match: an empty output is
contained in every answer, and a long list of guesses contains every answer. An alias of stop words alone counts only where it
is the row's own answer, so that data with a stray "the" or "it" among its aliases does not pay for one.
"""

from __future__ import annotations

import re
import string
import unicodedata
from collections.abc import Sequence

from runtime.data.rows import Row
from runtime.graders.extraction import find_named, find_tagged

ARTICLES = re.compile(r"\b(?:a|an|the)\b")
ABBREVIATION = re.compile(r"\b(?:[^\W\d_]\.){2,}")
APOSTROPHES = ("'", "\N{RIGHT SINGLE QUOTATION MARK}", "\N{LEFT SINGLE QUOTATION MARK}")
PUNCTUATION = str.maketrans(dict.fromkeys(string.punctuation, " "))
STOP_WORDS = re.compile(
    r"(?:(?:a|an|the|and|or|but|if|of|at|by|for|with|in|on|to|from|up|as|is|are|was|were|be|been|it|its|he|she|they|them|his|her"
    r"|their|i|you|we|me|my|your|our|this|that|these|those|there|here|not|no|yes|so|do|does|did|has|have|had|will|would|can|could)"
    r"(?: |$))*"
)


def grade_many(rows: Sequence[Row], outputs: Sequence[str]) -> list[bool]:
    """Whether each output is its row's `answer` or one of its `aliases`."""
    return [_matches(row, output) for row, output in zip(rows, outputs, strict=True)]


def extract_answer(output: str) -> str:
    """What the last `<answer>` tag holds, else what stands behind "The answer is", else the whole output."""
    tagged = find_tagged(output)
    return find_named(output) if tagged is None else tagged


def normalise(text: str) -> str:
    """Lower case, without punctuation, articles, accents' encodings and repeated space; may be empty."""
    lowered = unicodedata.normalize("NFKC", text).lower()
    for apostrophe in APOSTROPHES:
        lowered = lowered.replace(apostrophe, "")
    lowered = ABBREVIATION.sub(lambda found: found[0].replace(".", "") + " ", lowered)
    return " ".join(ARTICLES.sub(" ", lowered.translate(PUNCTUATION)).split())


def _matches(row: Row, output: str) -> bool:
    given = normalise(extract_answer(output))
    if not given:
        return False
    own = normalise(str(row["answer"]))
    return given == own or (
        given in {normalise(str(alias)) for alias in row.get("aliases", ())} and not _only_stop_words(given)
    )


def _only_stop_words(text: str) -> bool:
    return STOP_WORDS.fullmatch(text) is not None
