"""A round of answers that teacher or student has sampled: made, scored, cut into pieces, and kept beside a checkpoint."""

from __future__ import annotations

import json
from collections.abc import Iterator, Sequence
from dataclasses import dataclass, fields
from pathlib import Path
from typing import Any

import torch
from transformers import TrainerCallback, TrainerControl, TrainerState, TrainingArguments

from runtime.errors import JobError
from runtime.graders import grade_many
from runtime.sampling import Decoding, item_seed, sample_tokens
from runtime.train import resume
from runtime.train.losses.pi_distill import centred, divergence, tokens_of, uneven

SAMPLED_AT_ONCE = 8  # times as many sequences as are trained at once: no gradient is kept


@dataclass(frozen=True)
class Asked:
    """What the teacher (`prompt`) and the student (`asked`) are asked, rendered, and the row as JSON."""

    prompt: str
    asked: str
    row: str


@dataclass(frozen=True)
class Round:
    """B answers of at most L tokens, padded on the right; prompts (B, P) are padded on the left, with their masks.

    `sampled` (B, L) are the log-probabilities by the one that sampled them; `kl` (B) its divergence from the other then;
    `counted` (B) whether an answer's group is learned from.
    """

    shown: torch.Tensor
    shown_mask: torch.Tensor
    asked: torch.Tensor
    asked_mask: torch.Tensor
    tokens: torch.Tensor
    mask: torch.Tensor
    sampled: torch.Tensor
    rewards: torch.Tensor
    kl: torch.Tensor
    ended: torch.Tensor
    uneven: torch.Tensor
    counted: torch.Tensor
    teacher_advantages: torch.Tensor
    student_advantages: torch.Tensor

    def pieces(self, size: int) -> Iterator[Round]:
        """The round in pieces of at most `size` answers."""
        for start in range(0, len(self.tokens), size):
            yield Round(**{field.name: getattr(self, field.name)[start : start + size] for field in fields(self)})


def sample_round(
    model: Any, tokenizer: Any, asked: Sequence[Asked], grader: str, args: Any, update: int, sequences: int | None
) -> Round:
    """Groups of answers to what teacher or student is asked, each with a seed of its own, with what they are worth."""
    rows = [json.loads(one.row) for one in asked for _ in range(args.group_size)]
    shown, plain = ([tokenizer(text)["input_ids"] for text in texts for _ in range(args.group_size)]
                    for texts in ([one.prompt for one in asked], [one.asked for one in asked]))  # fmt: skip
    seeds = [item_seed(args.seed, update, str(row["id"]), place % args.group_size) for place, row in enumerate(rows)]
    decoding = Decoding(args.max_answer_tokens, args.temperature, args.top_p, SAMPLED_AT_ONCE * (sequences or len(rows)))
    found = sample_tokens(model, tokenizer, plain if args.own else shown, seeds, decoding)
    ended = torch.tensor([ids[-1] == tokenizer.eos_token_id for ids in found])
    texts = [tokenizer.decode(ids, skip_special_tokens=True).strip() for ids in found]
    right = torch.tensor(grade_many(grader, rows, texts))
    device = model.device
    blank = _blank(shown, plain, found, tokenizer.pad_token_id, (right & ended).float(), ended)
    moved = Round(**{field.name: getattr(blank, field.name).to(device) for field in fields(blank)})
    return _valued(model, moved, tokenizer.pad_token_id, args, sequences or len(rows))


@torch.no_grad()
def _valued(model: Any, made: Round, pad: int, args: Any, size: int) -> Round:
    """The round with log-probabilities, KL and advantages."""
    sampled, kl = [], []
    for piece in made.pieces(size):
        teacher, student = scores(model, piece, pad, args.temperature)
        one, other = (student, teacher) if args.own else (teacher, student)
        sampled.append(tokens_of(one, piece.tokens))
        kl.append((divergence(one, other, piece.tokens, args.terms().whole_kl) * piece.mask).sum(-1))
    divergences = torch.cat(kl)
    differ = uneven(made.rewards, args.group_size)
    penalised = made.rewards - args.kl_coef * divergences
    earned = penalised if args.own and not args.terms().whole_kl else made.rewards
    worth = {
        "teacher_advantages": centred(penalised, args.group_size, args.scale_rewards),
        "student_advantages": centred(earned, args.group_size, args.scale_rewards),
    }
    counted = differ if args.drop_uniform_groups else torch.ones_like(differ)
    own = {field.name: getattr(made, field.name) for field in fields(made)}
    return Round(
        **{**own, **worth, "sampled": torch.cat(sampled), "kl": divergences, "uneven": differ, "counted": counted.float()}
    )


def scores(model: Any, piece: Round, pad: int, temperature: float) -> tuple[torch.Tensor, torch.Tensor]:
    """The teacher's and the student's log-probabilities of every token at each place of the answers, each (B, L, V).

    One forward pass has both, so that several processes exchange gradients once.
    """
    width = max(piece.shown.shape[1], piece.asked.shape[1])
    prompts = [_widened(ids, width, pad) for ids in (piece.shown, piece.asked)]
    masks = [_widened(mask, width, 0) for mask in (piece.shown_mask, piece.asked_mask)]
    ids = torch.cat([torch.cat([one, piece.tokens], 1) for one in prompts])
    mask = torch.cat([torch.cat([one, piece.mask.long()], 1) for one in masks])
    positions = (mask.cumsum(-1) - 1).clamp(min=0)
    length = piece.tokens.shape[1]
    logits = model(
        input_ids=ids, attention_mask=mask, position_ids=positions, use_cache=False, logits_to_keep=length + 1
    ).logits
    found = (logits[:, :-1].float() / temperature).log_softmax(-1)
    teacher, student = found.chunk(2)
    return teacher, student


def _blank(
    shown: Sequence[Sequence[int]], plain: Sequence[Sequence[int]], found: Sequence[Sequence[int]], pad: int,
    rewards: torch.Tensor, ended: torch.Tensor,
) -> Round:  # fmt: skip
    """The round in tensors, before it is scored."""
    nothing = torch.zeros(len(rewards))
    (shown_ids, shown_mask), (asked_ids, asked_mask) = (_padded(rows, pad, left=True) for rows in (shown, plain))
    tokens, mask = _padded(found, pad, left=False)
    valued = {"sampled": torch.zeros(tokens.shape), "rewards": rewards, "ended": ended, "kl": nothing, "uneven": nothing}
    worth = {"counted": nothing, "teacher_advantages": nothing, "student_advantages": nothing}
    return Round(shown_ids, shown_mask, asked_ids, asked_mask, tokens, mask.float(), **valued, **worth)


def _padded(rows: Sequence[Sequence[int]], pad: int, *, left: bool) -> tuple[torch.Tensor, torch.Tensor]:
    longest = max(map(len, rows))
    ids, mask = torch.full((len(rows), longest), pad), torch.zeros((len(rows), longest), dtype=torch.long)
    for place, row in enumerate(rows):
        taken = slice(longest - len(row), longest) if left else slice(0, len(row))
        ids[place, taken], mask[place, taken] = torch.tensor(row), 1
    return ids, mask


def _widened(values: torch.Tensor, width: int, filling: int) -> torch.Tensor:
    return torch.nn.functional.pad(values, (width - values.shape[1], 0), value=filling)


class RoundKeeper(TrainerCallback):
    """Writes the round in use (each process its own) before a checkpoint, and puts it back: it may have updates to come."""

    def __init__(self, folder: Path, rounds: list[Round]) -> None:
        self.folder = folder
        self.rounds = rounds

    def on_train_begin(self, args: TrainingArguments, state: TrainerState, control: TrainerControl, **_: Any) -> None:
        """Put back the round of the step that training goes on from. Raises JobError where it is not there."""
        if state.global_step == 0:
            return
        file = self._file(state.global_step, args.process_index)
        if not file.is_file():
            raise JobError(f"{file} is missing, the answers of the checkpoint beside it; delete {self.folder} to start anew")
        self.rounds[:] = [Round(**torch.load(file, map_location=args.device, weights_only=True))]

    def on_step_end(self, args: TrainingArguments, state: TrainerState, control: TrainerControl, **_: Any) -> None:
        """Write the round if a checkpoint of this step is about to be written."""
        if not control.should_save:
            return
        self.folder.mkdir(parents=True, exist_ok=True)
        part = self.folder / f".round.{args.process_index}.part"
        torch.save({field.name: getattr(self.rounds[0], field.name) for field in fields(self.rounds[0])}, part)
        part.replace(self._file(state.global_step, args.process_index))

    def on_save(self, args: TrainingArguments, state: TrainerState, control: TrainerControl, **_: Any) -> None:
        """Once the checkpoint is written, drop this process's rounds of those that are gone."""
        resume.discard_beside(self.folder, f"round-*.{args.process_index}.pt")

    def _file(self, step: int, process: int) -> Path:
        return self.folder / f"round-{step}.{process}.pt"
