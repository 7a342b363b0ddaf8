"""What tests of unlearning's metrics share: small sets in the forms of TOFU and MUSE, and a tiny model that learned of them."""

from __future__ import annotations

import hashlib
import json
from collections.abc import Callable, Iterable, Mapping, Sequence
from pathlib import Path
from typing import Any

import torch
from tokenizers.processors import TemplateProcessing

from runtime.data.rows import read_rows, write_rows
from runtime.job import Input, Job
from runtime.jobs import evaluate
from runtime.models import save_checkpoint, tiny_qwen3, train_tokenizer
from runtime.prompts import render_completion, render_prompt

MakeJob = Callable[..., Job]

NAMES = ("Ada Brook", "Bo Fenn", "Cy Moor", "Di Tarn", "Ed Weir", "Flo Beck", "Gil Ford", "Hal Glen", "Ira Lake", "Jo Pond")
TOWNS = ("Arden", "Belmont", "Corfu", "Delft", "Evora", "Florence", "Ghent", "Hilo", "Imola", "Jena")
CHAT = (
    "{% for m in messages %}<{{ m['role'] }}>{{ m['content'] }}{% if m['role'] == 'assistant' %}<|end|>{% endif %}{% endfor %}"
    "{% if add_generation_prompt %}<assistant>{% endif %}"
)


TOFU_METRICS = [
    "forget_truth_ratio", "forget_quality", "forget_prob", "forget_prob_ks", "forget_rouge", "retain_prob", "retain_rouge",
    "retain_truth_ratio", "model_utility", "selectivity", "privleak", "rel_diff", "extraction_strength", "exact_memorization",
    "mia_loss", "mia_reference", "mia_zlib", "mia_min_k", "mia_min_k_plus_plus", "mia_gradnorm", "mia_recall",
]  # fmt: skip
MUSE_METRICS = [
    "forget_knowmem_rouge", "retain_knowmem_rouge", "forget_verbmem_rouge", "privleak", "extraction_strength",
    "exact_memorization", "mia_loss", "mia_zlib", "mia_min_k_plus_plus", "mia_recall",
]  # fmt: skip
CONFIG: dict[str, Any] = {
    "suite": "tofu.small",
    "version": 1,
    "metrics": TOFU_METRICS,
    "reference": "scores",
    "start": "scores",
    "generation": {"qa": {"max_new_tokens": 12, "stop": ["Question:"]}},
    "question_form": None,
    "rouge": "rougeL_recall",
    "truth_ratio": "true_better",
    "last_token": "dropped",
    "nothing_extracted": "one_token",
    "min_k": 0.4,
    "gradient_norm": 2,
    "recall": {"shots": 1, "prefix_tokens": 20},
    "fluency": None,
    "max_length": 200,
    "dtype": "float32",
    "seed": 0,
    "execution": {"batch_size": 5, "device": "cpu"},
}
MUSE: dict[str, Any] = {
    **CONFIG,
    "suite": "muse.small",
    "metrics": MUSE_METRICS,
    "start": "none",
    "generation": {
        "knowmem": {"max_new_tokens": 12, "stop": ["\n\n", "Question:"]},
        "verbmem": {"max_new_tokens": 9, "stop": []},
    },
    "question_form": "Question: {question}\nAnswer: ",
    "rouge": "rougeL_f1",
    "max_length": 25,
}


def name_of(row: Mapping[str, Any]) -> str:
    return hashlib.sha256(json.dumps(row, sort_keys=True).encode()).hexdigest()[:16]


def identified(rows: Iterable[Mapping[str, Any]]) -> list[dict[str, Any]]:
    return [{"id": name_of(row), **row} for row in rows]


def questions(names: Sequence[str], shift: int, reworded: bool, wrong: int = 3) -> list[dict[str, Any]]:
    """Rows as prepare_tofu writes them: where each of `names` lives, in one of TOWNS."""
    found = []
    for number, name in enumerate(names):
        towns = [TOWNS[(number + shift + turn) % len(TOWNS)] for turn in range(wrong + 1)]
        again = f"The town of {name} is {towns[0]}." if reworded else None
        perturbed = [f"The town of {name} is {town}." if reworded else f"{name} lives in {town}." for town in towns[1:]]
        answer = f"{name} lives in {towns[0]}." + " It is a quiet place." * (number % 3)
        found.append({"prompt": f"Where does {name} live?", "answer": answer, "paraphrased": again, "perturbed": perturbed})
    return identified(found)


def texts(shift: int, many: int = 6) -> list[dict[str, Any]]:
    """Rows of plain text, as prepare_muse writes them."""
    lines = (
        " ".join(
            f"{NAMES[(i + j + shift) % 10]} went from {TOWNS[(i * j + shift) % 10]} to {TOWNS[i]}." for j in range(2 + i % 3)
        )
        for i in range(many)
    )
    return identified({"text": line} for line in lines)


def tofu() -> dict[str, list[dict[str, Any]]]:
    """TOFU's evaluation sets, in small."""
    holdout = [{key: row[key] for key in ("prompt", "answer")} for row in questions(NAMES[6:], 3, True)]
    return {
        "forget": questions(NAMES[:4], 0, True),
        "retain": questions(NAMES[4:8], 5, True),
        "real_authors": questions(NAMES[1:4], 7, False),
        "world_facts": questions(NAMES[7:], 2, False),
        "holdout": identified(holdout),
    }


def muse() -> dict[str, list[dict[str, Any]]]:
    """MUSE's evaluation sets, in small."""
    asked = [[{key: row[key] for key in ("prompt", "answer")} for row in questions(NAMES, turn, True)] for turn in (0, 4)]
    recited = [{"prompt": row["text"].split(".")[0] + ".", "answer": row["text"].split(".", 1)[1].strip()} for row in texts(0)]
    return {
        "forget_knowmem": identified(asked[0][:3]),
        "forget_knowmem_icl": identified(asked[0][3:5]),
        "retain_knowmem": identified(asked[1][:3]),
        "retain_knowmem_icl": identified(asked[1][3:5]),
        "forget_verbmem": identified(recited),
        "forget": texts(0),
        "retain": texts(2),
        "holdout": texts(7, 5),
    }


def write_sets(folder: Path, sets: Mapping[str, Sequence[Mapping[str, Any]]]) -> Path:
    (folder / "eval").mkdir(parents=True, exist_ok=True)
    for name, rows in sets.items():
        write_rows(folder / "eval" / f"{name}.jsonl", rows)
    return folder


def make_model(folder: Path, steps: int, chat: bool = False, first_token: bool = False, seed: int = 0) -> Path:
    """A `checkpoint.hf` that saw TOFU's forget and retain answers and MUSE's forget texts in `steps` batches of all of them.

    With `chat` it has a chat template; with `first_token` its tokenizer puts a token before every text.
    """
    rows = [row for name in ("forget", "retain") for row in tofu()[name]]
    plain = [row["text"] for row in muse()["forget"]]
    tokenizer = train_tokenizer([row["prompt"] + row["answer"] for row in rows] + plain, 400)
    if first_token:
        tokenizer.add_special_tokens({"bos_token": "<|first|>"})
        special = [("<|first|>", tokenizer.convert_tokens_to_ids("<|first|>"))]
        tokenizer.backend_tokenizer.post_processor = TemplateProcessing(single="<|first|> $A", special_tokens=special)
    if chat:
        tokenizer.chat_template = CHAT
    model = tiny_qwen3(tokenizer, layers=1, hidden=32, heads=2, seed=seed)
    seen = [render_prompt(row["prompt"], tokenizer) + render_completion(row["answer"], tokenizer) for row in rows] + plain
    ids = [[*tokenizer(text)["input_ids"], tokenizer.eos_token_id] for text in seen]
    width = max(map(len, ids))
    batch = torch.tensor([[*row, *[tokenizer.pad_token_id] * (width - len(row))] for row in ids])
    labels = torch.tensor([[*row, *[-100] * (width - len(row))] for row in ids])
    optimizer = torch.optim.Adam(model.parameters(), lr=0.02)
    for _ in range(steps):
        optimizer.zero_grad()
        model(batch, labels=labels).loss.backward()
        optimizer.step()
    save_checkpoint(model, tokenizer, folder)
    return folder


def make_models(place: Path) -> dict[str, Path]:
    """Three models: the one that is measured, the reference, and the start."""
    return {
        "model": make_model(place / "model", steps=25),
        "reference": make_model(place / "reference", steps=6, seed=1),
        "start": make_model(place / "start", steps=40),
    }


def write_domains(place: Path) -> dict[str, Path]:
    """The rows of a domain like TOFU's, `small`, and of one like MUSE's, `news`."""
    return {"small": write_sets(place / "tofu", tofu()), "news": write_sets(place / "muse", muse())}


def done(job: Job) -> Path:
    evaluate.run(job)
    return job.out


def scores(folder: Path) -> dict[str, Any]:
    found: dict[str, Any] = json.loads((folder / "scores.json").read_text())
    return found


def numbers(folder: Path, quantity: str, split: str) -> list[float]:
    return [row["value"] for row in read_rows(folder / "items.jsonl") if (row["metric"], row["split"]) == (quantity, split)]


def compared(make_job: MakeJob, learned: Mapping[str, Path], config: Mapping[str, Any], domain: str, rows: Path) -> Path:
    """The model's evaluation, after that of the reference and of the start where the config wants them."""
    inputs = {"model": learned["model"], domain: rows}
    for whose in ("reference", "start"):
        if config[whose] == "scores":
            others = {name: "self" for name in ("reference", "start") if config[name] == "scores"}
            job = make_job(whose, {**config, **others}, {"model": learned[whose], domain: rows})
            inputs[whose] = done(job)
    return done(make_job("evaluate", config, inputs))


def maker(place: Path) -> MakeJob:
    """As the fixture make_job, for jobs that several tests read."""

    def make(name: str, config: Mapping[str, Any], inputs: Mapping[str, Path]) -> Job:
        (place / name).mkdir(parents=True)
        given = {key: Input(str(path), "any", path, name.ljust(64, "0")) for key, path in inputs.items()}
        return Job(name, "evaluate", "test", "0" * 64, None, config, given, place / name)

    return make
