"""A proof, before anything is rewarded, that a grader cannot be cheated with outputs that hold no answer.

A grader that pays for the empty string, for a lone stop or for a list of all answers teaches a model to write just
that, and the same grader in the evaluation then shows it as progress. Jobs that reward or filter by a grader call
`check_grader` first.
"""

from __future__ import annotations

from collections.abc import Sequence

from runtime.errors import JobError
from runtime.graders import BY_ROW, grade_many, places_by_grader
from runtime.rows import Row

PUNCTUATION = ("...", ".", ",", "?", "!", "-", "()", "\\boxed{}")
EMPTY_ANSWERS = ("", " ", "\n", *PUNCTUATION, "the", "a", "The answer is: the", "None", "pass")
WRONG_ANSWER = "certainly not this one"


def check_grader(grader: str, rows: Sequence[Row], sampled: int = 8) -> None:
    """Raise JobError unless the first `sampled` rows score 0 on every cheat and 1 on their own solution.

    With `by_row`, the first `sampled` rows of each grader that the rows name.
    """
    if grader == BY_ROW:
        for name, places in places_by_grader(rows).items():
            check_grader(name, [rows[place] for place in places], sampled)
        return
    for row in rows[:sampled]:
        cheats = [*EMPTY_ANSWERS, WRONG_ANSWER, *dump_answers(row, rows)]
        verdicts = grade_many(grader, [row] * len(cheats), cheats)
        paid = [cheat for cheat, correct in zip(cheats, verdicts, strict=True) if correct]
        if paid:
            raise JobError(f"grader {grader}: row {row['id']} pays for {paid[0][:80]!r}; mend the row or the grader")
        solution = str(row["solution"])
        if not grade_many(grader, [row], [solution])[0]:
            raise JobError(f"grader {grader}: row {row['id']} scores its own solution {solution[:80]!r} as wrong; mend it")


def dump_answers(row: Row, rows: Sequence[Row], listed: int = 50) -> list[str]:
    """Outputs that name the row's answer among many others, in the forms in which a model would list its guesses."""
    others = [str(other["answer"]) for other in rows[:listed] if other["answer"] != row["answer"]]
    named = list(dict.fromkeys([*others, str(row["answer"]), *map(str, row.get("aliases", ()))]))
    return [glue.join(named) for glue in (" ", ", ", "\n", " or ")] if len(named) > 1 else []
