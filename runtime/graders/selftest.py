"""A proof, before anything is rewarded, that a grader cannot be cheated with outputs that hold no answer.

A grader that pays for the empty string, for a lone stop or for a list of all answers teaches a model to write just
that, and the same grader in the evaluation then shows it as progress. Jobs that reward or filter by a grader call
`check_grader` first; those of VeRL through `runtime.rewards.check_rewards`, before VeRL starts.
"""

from __future__ import annotations

from collections.abc import Sequence

from runtime.data.rows import Row
from runtime.errors import JobError
from runtime.graders import BY_ROW, grade_many, math, places_by_grader, symbolic

PUNCTUATION = ("...", ".", ",", "?", "!", "-", "()", "$$", "\\boxed{}", "\\boxed{ }", "\\boxed{", "####", "<answer></answer>")
EMPTY_ANSWERS = (
    "",
    " ",
    "\n",
    *PUNCTUATION,
    "the",
    "a",
    "The answer is: the",
    "The answer is:",
    "None",
    "pass",
    "```python\n```",
)
WRONG_ANSWER = "certainly not this one"
GLUES = (" ", ", ", "\n", " or ", "|", "|||")


def check_grader(grader: str, rows: Sequence[Row], sampled: int = 8) -> None:
    """Raise JobError unless the first `sampled` rows score 0 on every cheat and 1 on their own solution, where they have one.

    Cheats are what holds no answer, a wrong one, the question itself, and lists of answers. With `by_row`, the first `sampled`
    rows of each grader that the rows name.
    """
    if grader == BY_ROW:
        for name, places in places_by_grader(rows).items():
            check_grader(name, [rows[place] for place in places], sampled)
        return
    if grader == "math" and any(math.parse_number(math.normalise(str(row["answer"]))) is None for row in rows):
        symbolic.check_installed()
    for row in rows[:sampled]:
        cheats = [*EMPTY_ANSWERS, WRONG_ANSWER, str(row.get("prompt", "")), *dump_answers(row, rows)]
        verdicts = grade_many(grader, [row] * len(cheats), cheats)
        paid = [cheat for cheat, correct in zip(cheats, verdicts, strict=True) if correct]
        if paid:
            raise JobError(f"grader {grader}: row {row['id']} pays for {paid[0][:80]!r}; mend the row or the grader")
        solution = str(row["solution"])
        if solution and not grade_many(grader, [row], [solution])[0]:
            raise JobError(f"grader {grader}: row {row['id']} scores its own solution {solution[:80]!r} as wrong; mend it")


def dump_answers(row: Row, rows: Sequence[Row], listed: int = 50) -> list[str]:
    """Outputs that name the row's answer among many others, or all its aliases, in the forms in which a model would list
    guesses."""
    others = [str(other["answer"]) for other in rows[:listed] if other["answer"] != row["answer"]]
    aliases = list(dict.fromkeys(map(str, row.get("aliases", ()))))
    named = list(dict.fromkeys([*others, str(row["answer"]), *aliases]))
    dumps = [glue.join(names) for names in (named, aliases) if len(names) > 1 for glue in GLUES]
    in_a_line = [f"The answer is: {dump}" for dump in dumps if "\n" not in dump]  # what stands on the next line is no answer
    return [*dumps, *in_a_line, *(f"<answer>{dump}</answer>" for dump in dumps)]
