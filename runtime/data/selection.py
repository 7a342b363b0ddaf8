"""Which questions and answers become training data: pure functions from rows or graded traces to a dataset's rows.

Every function takes whole rows and gives a `Selection`: the rows kept, in the order of their questions, and for each
reason how many questions were dropped. Randomness comes from a seed alone, one generator a question, so that a question
that comes or goes leaves the others' choices as they are.
"""

from __future__ import annotations

import random
from collections import Counter
from collections.abc import Callable, Iterable, Mapping, Sequence
from dataclasses import dataclass
from typing import Any

Row = Mapping[str, Any]


@dataclass(frozen=True)
class Selection:
    """`rows` to train on; `dropped` maps a reason to the number of questions it removed."""

    rows: tuple[Row, ...]
    dropped: Mapping[str, int]


class Dropped(Exception):
    """Raised by a rule for one question: the reason that it is not used."""


def supervised(rows: Iterable[Row]) -> Selection:
    """Ground truth: each row's `solution` becomes the completion; of a row that is a text, the text is all there is."""
    return _select(rows, lambda row: [{"id": row["id"], "text": row["text"]}] if "text" in row else _solution(row))


def first_correct(traces: Iterable[Row]) -> Selection:
    """The first sample of each question that is correct and finished becomes the completion."""
    return _select(traces, lambda trace: [_completion(trace, _correct(trace)[0])])


def at_least(traces: Iterable[Row], least: int, per_question: int | None) -> Selection:
    """Of each question of whose samples at least `least` are correct and finished, its different correct answers.

    In sampled order, at most `per_question` of them; None takes all. A question that a model solves only by luck is dropped.
    """
    return _select(traces, lambda trace: [_completion(trace, text) for text in _often(trace, least)[:per_question]])


def balanced(traces: Iterable[Row], per_question: int) -> Selection:
    """Exactly `per_question` different correct answers a question; a question with fewer is dropped."""
    return _select(traces, lambda trace: [_completion(trace, text) for text in _enough(trace, per_question)])


def correct_vs_incorrect(traces: Iterable[Row], per_question: int, seed: int) -> Selection:
    """Preference pairs of one question's own samples: a finished correct one is chosen, an incorrect one rejected.

    At most `per_question` pairs a question, of different texts, drawn by `seed`. Rejected answers are finished ones where
    the question has any, so that a pair teaches what is right rather than when to stop.
    """
    return _select(traces, lambda trace: _pairs(trace, per_question, seed))


def truth_vs_own(traces: Iterable[Row], per_question: int, seed: int) -> Selection:
    """Self-play (SPIN; Chen et al. 2024, arXiv 2401.01335): the question's solution is chosen, the model's own answer rejected.

    Of each round's answers (`samples`, and `samples_before` where the round before is used, too) at most `per_question` are
    taken, drawn by `seed`, whether right or wrong; finished ones where the question has any. An answer that is the solution
    gives no pair.
    """
    return _select(traces, lambda trace: _own_pairs(trace, per_question, seed))


def prompts(rows: Iterable[Row]) -> Selection:
    """For a method that samples by itself: whole rows, with all that a grader and its self-test need."""
    return _select(rows, lambda row: [row])


def privileged_solution(rows: Iterable[Row]) -> Selection:
    """Prompts that carry their ground-truth solution as `privileged`: what the teacher may see and the student may not."""
    return _select(rows, lambda row: [{**_question(row), "privileged": _solution(row)[0]["completion"]}])


def privileged_trace(traces: Iterable[Row]) -> Selection:
    """Prompts that carry the first correct sampled answer as `privileged`."""
    return _select(traces, lambda trace: [{**_question(trace), "privileged": _correct(trace)[0]}])


def limited(selection: Selection, limit: int | None, seed: int) -> Selection:
    """At most `limit` of the rows, drawn by `seed`, in their order; those left out are counted under "over the limit"."""
    if limit is None or len(selection.rows) <= limit:
        return selection
    kept = sorted(random.Random(seed).sample(range(len(selection.rows)), limit))
    dropped = {**selection.dropped, "over the limit": len(selection.rows) - limit}
    return Selection(tuple(selection.rows[index] for index in kept), dropped)


def _select(source: Iterable[Row], rule: Callable[[Row], Sequence[Row]]) -> Selection:
    rows: list[Row] = []
    dropped: Counter[str] = Counter()
    for question in source:
        try:
            rows.extend(rule(question))
        except Dropped as reason:
            dropped[str(reason)] += 1
    return Selection(tuple(rows), dict(sorted(dropped.items())))


def _solution(row: Row) -> list[Row]:
    if not row.get("solution"):
        raise Dropped("no solution")
    return [_completion(row, row["solution"])]


def _completion(row: Row, text: str) -> Row:
    return {"id": row["id"], "prompt": row["prompt"], "completion": text}


def _question(row: Row) -> Row:
    return {name: value for name, value in row.items() if name not in ("solution", "samples", "samples_before")}


def _correct(trace: Row) -> list[str]:
    """The different texts of the samples that are correct and finished, in sampled order; none drops the question."""
    texts = _texts(sample for sample in trace["samples"] if sample["correct"] and sample["finished"])
    if not texts:
        raise Dropped("no correct answer")
    return texts


def _often(trace: Row, least: int) -> list[str]:
    texts = _correct(trace)
    if sum(sample["correct"] and sample["finished"] for sample in trace["samples"]) < least:
        raise Dropped(f"fewer than {least} correct answers")
    return texts


def _enough(trace: Row, count: int) -> list[str]:
    texts = _correct(trace)
    if len(texts) < count:
        raise Dropped(f"fewer than {count} different correct answers")
    return texts[:count]


def _incorrect(trace: Row) -> list[str]:
    texts = _finished_first([sample for sample in trace["samples"] if not sample["correct"]])
    if not texts:
        raise Dropped("no incorrect answer")
    return texts


def _pairs(trace: Row, per_question: int, seed: int) -> list[Row]:
    pairs = [(chosen, rejected) for chosen in _correct(trace) for rejected in _incorrect(trace)]
    drawn = random.Random(f"{seed}:{trace['id']}").sample(pairs, min(per_question, len(pairs)))
    return [
        {"id": trace["id"], "prompt": trace["prompt"], "chosen": chosen, "rejected": rejected} for chosen, rejected in drawn
    ]


def _own_pairs(trace: Row, per_question: int, seed: int) -> list[Row]:
    truth = _solution(trace)[0]["completion"]
    rounds = {"": trace["samples"], ":before": trace.get("samples_before", [])}
    own = [text for mark, samples in rounds.items() for text in _own(samples, per_question, f"{seed}:{trace['id']}{mark}")]
    if not own:
        raise Dropped("no own answer")
    rejected = [text for text in dict.fromkeys(own) if text.strip() != truth.strip()]
    if not rejected:
        raise Dropped("every own answer is the solution")
    return [{"id": trace["id"], "prompt": trace["prompt"], "chosen": truth, "rejected": text} for text in rejected]


def _own(samples: Sequence[Row], per_question: int, seed: str) -> list[str]:
    texts = _finished_first(samples)
    return random.Random(seed).sample(texts, min(per_question, len(texts)))


def _finished_first(samples: Sequence[Row]) -> list[str]:
    """The different texts of the finished samples, or of all where none is finished."""
    return _texts(sample for sample in samples if sample["finished"]) or _texts(samples)


def _texts(samples: Iterable[Row]) -> list[str]:
    """The samples' texts without repeats and without empty ones (nothing can be learned from those)."""
    return list(dict.fromkeys(sample["text"] for sample in samples if sample["text"].strip()))
