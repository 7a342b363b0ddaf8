r"""The final answer in what a model wrote: the last \boxed{…}, the text behind the last `####`, behind "The answer is:", or a
tag's.

Pure text, no regular expression that could run away, nothing kept: safe to call from any thread.
"""

from __future__ import annotations

import re

BOXES = ("\\boxed", "\\fbox")
HASHES = "####"
NAMED = re.compile(r"\banswer(?:[ \t]+is)?[ \t]*:|\banswer[ \t]+is\b", re.IGNORECASE)
OPENING, CLOSING = "<answer>", "</answer>"


def find_boxed(text: str) -> str | None:
    r"""The content of the last \boxed{…} or \fbox{…}, braces matched by counting; "" if that one never closes, None without
    any.

    `\{` and `\}` are signs and no braces. `\boxed 7` holds what stands up to the next space, as TeX's writers use it.
    """
    start, length = max((text.rfind(box), len(box)) for box in BOXES)
    if start < 0:
        return None
    rest = text[start + length :].lstrip(" ")
    return _braced(rest) if rest.startswith("{") else _word(rest)


def find_final(text: str) -> str:
    r"""The final answer: of the last box, else behind the last `####`, else behind the last "answer is" (to the line's end),
    else all."""
    boxed = find_boxed(text)
    if boxed is not None:
        return boxed.strip()
    if HASHES in text:
        return _line(text.rpartition(HASHES)[2])
    return find_named(text)


def find_named(text: str) -> str:
    """What stands behind the last "answer is" or "answer:", to the end of its line, without a closing stop; else the whole
    text."""
    marks = list(NAMED.finditer(text))
    return _line(text[marks[-1].end() :]).removeprefix(":").strip() if marks else text.strip()


def find_tagged(text: str) -> str | None:
    """What the last `<answer>…</answer>` holds; None if no such pair is there."""
    end = text.rfind(CLOSING)
    start = text.rfind(OPENING, 0, max(end, 0))
    return None if start < 0 else text[start + len(OPENING) : end].strip()


def _braced(text: str) -> str:
    depth, index = 0, 0
    while index < len(text):
        if text[index] == "\\":
            index += 2
            continue
        depth += {"{": 1, "}": -1}.get(text[index], 0)
        if depth == 0:
            return text[1:index]
        index += 1
    return ""


def _word(text: str) -> str:
    found = re.match(r"[^\s$]*", text)
    return found[0].rstrip(".,;") if found else ""


def _line(text: str) -> str:
    lines = text.strip().splitlines()
    return lines[0].strip().rstrip(".") if lines else ""
