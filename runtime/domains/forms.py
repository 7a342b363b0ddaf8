r"""How records of known data sets become rows: one function a form, from a record with its own columns to a `Draft`.

| form | columns as the hub has them | answer | solution |
|---|---|---|---|
| gsm8k | text that ends in `#### 72` | what stands behind | the text, without `<<…>>`, ending in \boxed{72} |
| boxed | worked solution with \boxed{…} | what the last box holds | the text |
| answer | the answer alone | itself | \boxed{answer} |
| aliases | a list of strings | the first, the others aliases | the first |
| trivia_qa | `{value, aliases, normalized_aliases, …}` | the value, and its aliases | the value |
| hotpot_qa | a string; `context` `{title, sentences}` | itself | itself |
| stdin_programs | `{input: […], output: […]}`; `{language: […], solution: […]}` | | the shortest in Python 3 |
| taco | JSON text `{"inputs", "outputs"}`; JSON text of a list | | the shortest that is Python 3 |
"""

from __future__ import annotations

import ast
import json
import re
import warnings
from collections.abc import Callable, Iterator, Mapping, Sequence
from dataclasses import dataclass
from typing import Any

from runtime.graders.extraction import find_boxed

Record = Mapping[str, Any]
Settings = Mapping[str, Any]
PYTHON_3 = 3  # of CodeContests' column: 0 unknown, 1 Python 2, 2 C++, 3 Python 3, 4 Java
CALCULATOR = re.compile(r"<<[^<>]*>>")
SOLUTIONS = 3  # how many of a problem's programs are tried before it counts as unsolved


class Unfit(Exception):
    """A record that gives no row: the reason, which is counted."""


@dataclass(frozen=True)
class Draft:
    """A row without its id, and the texts that may become its `solution`, best first; the first that its grader takes does."""

    row: Mapping[str, Any]
    solutions: tuple[str, ...]


@dataclass(frozen=True)
class Form:
    """The function from record and settings to a draft, and the grader that its rows are made for."""

    draft: Callable[[Record, Settings], Draft]
    grader: str


def question(record: Record, settings: Settings, before: str = "") -> str:
    """The prompt: the question's column between the settings' texts, with `before` above the question."""
    return f"{settings['prompt']['before']}{before}{_text(record, settings, 'question')}{settings['prompt']['after']}"


def _gsm8k(record: Record, settings: Settings) -> Draft:
    worked, hashes, answer = _text(record, settings, "answer").rpartition("####")
    answer = answer.strip().replace(",", "")
    if not hashes or not answer:
        raise Unfit("no answer behind ####")
    steps = CALCULATOR.sub("", worked).strip()
    return Draft(_row(record, settings, answer), (f"{steps}\n\\boxed{{{answer}}}",))


def _boxed(record: Record, settings: Settings) -> Draft:
    solution = _text(record, settings, "solution")
    answer = (find_boxed(_text(record, settings, "answer")) or "").strip()
    if not answer:
        raise Unfit("no \\boxed{} in its solution")
    return Draft(_row(record, settings, answer), (solution,))


def _answer(record: Record, settings: Settings) -> Draft:
    answer = str(_value(record, settings, "answer")).strip()
    if not answer:
        raise Unfit("no answer")
    return Draft(_row(record, settings, answer), (f"\\boxed{{{answer}}}",))


def _aliases(record: Record, settings: Settings) -> Draft:
    aliases = _distinct(_value(record, settings, "answer"))
    return _named(record, settings, aliases[0], aliases)


def _trivia_qa(record: Record, settings: Settings) -> Draft:
    answer = _value(record, settings, "answer")
    value = str(answer.get("value") or "").strip()
    if not value:
        raise Unfit("no answer")
    return _named(record, settings, value, _distinct([value, *answer["aliases"], *answer.get("normalized_aliases", ())]))


def _hotpot_qa(record: Record, settings: Settings) -> Draft:
    answer = str(_value(record, settings, "answer")).strip()
    if not answer:
        raise Unfit("no answer")
    row = _row(record, settings, answer, "\n\n".join([*_paragraphs(record, settings), ""]))
    return Draft({**row, "aliases": [answer]}, (answer,))


def _paragraphs(record: Record, settings: Settings) -> Iterator[str]:
    """The paragraphs to read: all, or those that the answer rests on where the settings name their column; none without a
    column."""
    columns = settings["columns"]
    if columns.get("context") is None:
        return
    context = record[columns["context"]]
    supporting = set(record[columns["supporting"]]["title"]) if columns.get("supporting") else None
    for title, sentences in zip(context["title"], context["sentences"], strict=True):
        if supporting is None or title in supporting:
            yield f"{title}: {''.join(sentences).strip()}"


def _stdin_programs(record: Record, settings: Settings) -> Draft:
    columns = settings["columns"]["answer"]
    tests = [
        {"input": given, "output": printed}
        for column in ([columns] if isinstance(columns, str) else columns)
        for given, printed in zip(record[column]["input"], record[column]["output"], strict=True)
    ]
    written = _value(record, settings, "solution")
    programs = [text for language, text in zip(written["language"], written["solution"], strict=True) if language == PYTHON_3]
    return _programs(record, settings, tests, programs)


def _taco(record: Record, settings: Settings) -> Draft:
    asked = json.loads(_text(record, settings, "answer"))
    if asked.get("fn_name"):
        raise Unfit("its tests call a function")
    tests = [
        {"input": in_lines(given), "output": in_lines(printed)}
        for given, printed in zip(asked["inputs"], asked["outputs"], strict=True)
    ]
    written = _value(record, settings, "solution")
    return _programs(record, settings, tests, json.loads(written) if isinstance(written, str) else written)


def _programs(record: Record, settings: Settings, tests: Sequence[Mapping[str, str]], programs: Sequence[str]) -> Draft:
    """The first tests that are short enough, and the shortest programs, fenced. The answer is empty: tests are what is
    compared."""
    asked = settings["tests"]
    chosen = [test for test in tests if max(len(test["input"]), len(test["output"])) <= asked["longest"]][: asked["most"]]
    if not chosen:
        raise Unfit("no test that is short enough")
    limits = {"seconds": asked["seconds"], "mebibytes": asked["mebibytes"]}
    row = {**_row(record, settings, ""), "tests": chosen, "limits": limits}
    shortest = sorted(filter(is_python_3, dict.fromkeys(programs)), key=len)[:SOLUTIONS]
    return Draft(row, tuple(f"```python\n{program.strip()}\n```" for program in shortest))


def is_python_3(program: str) -> bool:
    """Whether the text is a Python 3 program by its grammar; Python 2 mostly is not, for its `print`."""
    try:
        with warnings.catch_warnings():
            warnings.simplefilter("ignore")
            ast.parse(program)
    except (SyntaxError, ValueError, MemoryError, RecursionError):
        return False
    return bool(program.strip())


def _named(record: Record, settings: Settings, answer: str, aliases: Sequence[str]) -> Draft:
    return Draft({**_row(record, settings, answer), "aliases": list(aliases)}, (answer,))


def _row(record: Record, settings: Settings, answer: str, before: str = "") -> dict[str, Any]:
    return {"prompt": question(record, settings, before), "answer": answer}


def _distinct(texts: Sequence[Any]) -> list[str]:
    found = list(dict.fromkeys(str(text).strip() for text in texts if str(text).strip()))
    if not found:
        raise Unfit("no answer")
    return found


def in_lines(value: Any) -> str:
    """TACO gives an input or output as text, or as a list of its lines."""
    return value if isinstance(value, str) else "\n".join(map(str, value))


def _text(record: Record, settings: Settings, role: str) -> str:
    value = _value(record, settings, role)
    if not isinstance(value, str):
        raise Unfit(f"its {role} is no text")
    return value


def _value(record: Record, settings: Settings, role: str) -> Any:
    value = record[settings["columns"][role]]
    if value is None:
        raise Unfit(f"no {role}")
    return value


FORMS: Mapping[str, Form] = {
    "gsm8k": Form(_gsm8k, "math"),
    "boxed": Form(_boxed, "math"),
    "answer": Form(_answer, "math"),
    "aliases": Form(_aliases, "qa"),
    "trivia_qa": Form(_trivia_qa, "qa"),
    "hotpot_qa": Form(_hotpot_qa, "qa"),
    "stdin_programs": Form(_stdin_programs, "code"),
    "taco": Form(_taco, "code"),
}
