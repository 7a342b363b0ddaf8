"""How long a suite of unlearning metrics takes: our one pass over everything, beside one pass for each metric.

    python benchmarks/unlearning_metrics.py [--rows N] [--hidden H] [--layers L] [--vocabulary V] [--batch B] [--tokens T]
                                            [--repeat N]

The obvious way asks each metric by itself: it reads its rows in their order, pads each batch, takes the log-softmax over the
whole vocabulary at every position in float32, and generates with `model.generate`. Both ways measure the same model (random
weights) on the same rows in the form of TOFU (made here), each in a process of its own; of several runs the quickest counts.
Values are held against each other. Seconds are CPU time, so that another load on the machine does not count (one thread:
OMP_NUM_THREADS=1). The job's include loading the model and writing its files, the obvious way's only what it computes.
"""

from __future__ import annotations

import argparse
import json
import random
import resource
import subprocess
import sys
import tempfile
import time
from collections.abc import Callable, Mapping, Sequence
from pathlib import Path
from typing import Any

ROOT = Path(__file__).parent.parent
sys.path.insert(0, str(ROOT))

METRICS = [
    "forget_truth_ratio", "forget_prob", "forget_rouge", "model_utility", "extraction_strength", "exact_memorization",
    "mia_loss", "mia_zlib", "mia_min_k", "mia_min_k_plus_plus",
]  # fmt: skip
SETS = {"forget": 1.0, "retain": 1.0, "real_authors": 0.25, "world_facts": 0.3, "holdout": 1.0}  # shares of --rows, as in TOFU
Rows = Sequence[Mapping[str, Any]]


def main() -> None:
    asked = _arguments()
    if asked.one:
        measured = {"ours": ours, "obvious": obvious}[asked.one](Path(asked.folder), asked)
        print(json.dumps({**measured, "peak": resource.getrusage(resource.RUSAGE_SELF).ru_maxrss / 1024}))
        return
    with tempfile.TemporaryDirectory() as folder:
        make(Path(folder), asked)
        runs = {way: [_run(way, folder) for _ in range(asked.repeat)] for way in ("obvious", "ours")}
    best = {way: min(found, key=lambda run: run["seconds"]) for way, found in runs.items()}
    worst = max(abs(best["ours"]["values"][name] - best["obvious"]["values"][name]) for name in METRICS)
    for way, run in best.items():
        parts = " ".join(f"{name}={seconds:.1f}s" for name, seconds in run["parts"].items())
        print(f"{way:>8}: {run['seconds']:7.1f} s  peak {run['peak']:6.0f} MiB  {parts}")
    print(f"   ratio: {best['obvious']['seconds'] / best['ours']['seconds']:.2f}; metrics differ by {worst:.1e} at most")


def _arguments() -> argparse.Namespace:
    parser = argparse.ArgumentParser()
    sizes = {"rows": 40, "hidden": 256, "layers": 4, "vocabulary": 32_000, "batch": 16, "tokens": 40, "repeat": 1}
    for name, size in sizes.items():
        parser.add_argument(f"--{name}", type=int, default=size)
    parser.add_argument("--one", help=argparse.SUPPRESS)
    parser.add_argument("--folder", help=argparse.SUPPRESS)
    return parser.parse_args()


def _run(way: str, folder: str) -> dict[str, Any]:
    command = [sys.executable, __file__, *sys.argv[1:], "--one", way, "--folder", folder]
    out = subprocess.run(command, check=True, capture_output=True, text=True).stdout
    found: dict[str, Any] = json.loads(out.splitlines()[-1])
    return found


# --- what is measured --------------------------------------------------------------------------------------------------


def make(folder: Path, asked: argparse.Namespace) -> None:
    """A model with random weights, and rows of random words: answers of 10 to 60 words, five wrong ones to each."""
    import torch
    from transformers import Qwen3Config, Qwen3ForCausalLM

    from runtime.data.rows import write_rows
    from runtime.models import save_checkpoint, train_tokenizer

    words = random.Random(0)
    vocabulary = ["".join(words.choices("abcdefghijklmnopqrstuvwxyz", k=words.randint(2, 9))) for _ in range(2000)]
    tokenizer = train_tokenizer([" ".join(vocabulary)], 3000)
    config = Qwen3Config(
        vocab_size=asked.vocabulary, hidden_size=asked.hidden, intermediate_size=3 * asked.hidden,
        num_hidden_layers=asked.layers, num_attention_heads=4, num_key_value_heads=4, head_dim=asked.hidden // 4,
        pad_token_id=tokenizer.pad_token_id, eos_token_id=tokenizer.eos_token_id, bos_token_id=None, tie_word_embeddings=True,
    )  # fmt: skip
    torch.manual_seed(0)
    save_checkpoint(Qwen3ForCausalLM(config), tokenizer, folder / "model")
    (folder / "rows" / "eval").mkdir(parents=True)
    for name, share in SETS.items():
        rows = [_row(words, vocabulary, name, number) for number in range(max(2, int(asked.rows * share)))]
        write_rows(folder / "rows" / "eval" / f"{name}.jsonl", rows)


def _row(words: random.Random, vocabulary: Sequence[str], name: str, number: int) -> dict[str, Any]:
    def text(least: int, most: int) -> str:
        return " ".join(words.choices(vocabulary, k=words.randint(least, most)))

    wrong = 3 if name in ("real_authors", "world_facts") else 5
    return {
        "id": f"{name}-{number}",
        "prompt": text(5, 20),
        "answer": text(10, 60),
        "paraphrased": text(10, 60) if wrong == 5 else None,
        "perturbed": [text(10, 60) for _ in range(wrong)],
    }


# --- our way -----------------------------------------------------------------------------------------------------------


def ours(folder: Path, asked: argparse.Namespace) -> dict[str, Any]:
    """The evaluate job itself."""
    from runtime.job import Input, Job
    from runtime.jobs import evaluate

    config = {
        "suite": "benchmark", "version": 1, "metrics": METRICS, "reference": "none", "start": "none",
        "generation": {"qa": {"max_new_tokens": asked.tokens, "stop": []}}, "question_form": None, "rouge": "rougeL_recall",
        "truth_ratio": "true_better", "last_token": "dropped", "nothing_extracted": "one_token", "min_k": 0.4,
        "gradient_norm": 2, "recall": None, "fluency": None, "max_length": 2048, "dtype": "float32", "seed": 0,
        "execution": {"batch_size": asked.batch, "device": "cpu"},
    }  # fmt: skip
    inputs = {"model": Input("m", "any", folder / "model", "0"), "rows": Input("r", "any", folder / "rows", "0")}
    out = folder / f"out-{time.monotonic_ns()}"
    out.mkdir()
    start = time.process_time()
    values = evaluate.run(Job("evaluate/ours", "evaluate", "benchmark", "0", None, config, inputs, out))
    return {"seconds": time.process_time() - start, "values": dict(values), "parts": {}}


# --- the obvious way ---------------------------------------------------------------------------------------------------


def obvious(folder: Path, asked: argparse.Namespace) -> dict[str, Any]:
    """Every metric by itself."""
    import torch

    from runtime.data.rows import read_rows
    from runtime.models import load_model, load_tokenizer

    sets = {name: read_rows(folder / "rows" / "eval" / f"{name}.jsonl") for name in SETS}
    one = Obvious(load_model(folder / "model", torch.device("cpu")), load_tokenizer(folder / "model"), asked)
    values, parts = {}, {}
    start = time.process_time()
    for name in METRICS:
        began = time.process_time()
        values[name] = one.metrics()[name](sets)
        parts[name] = time.process_time() - began
    return {"seconds": time.process_time() - start, "values": values, "parts": parts}


class Obvious:
    """One pass for each metric and each kind of answer it reads."""

    def __init__(self, model: Any, tokenizer: Any, asked: argparse.Namespace) -> None:
        self.model, self.tokenizer, self.asked = model, tokenizer, asked

    def metrics(self) -> dict[str, Callable[[Mapping[str, Rows]], float]]:
        return {
            "forget_truth_ratio": lambda sets: _mean([min(r, 1 / (r + 1e-10)) for r in self.ratios(sets["forget"])]),
            "forget_prob": lambda sets: _mean(self.probs(sets["forget"], "answer")),
            "forget_rouge": lambda sets: _mean(self.rouges(sets["forget"])),
            "model_utility": self.utility,
            "extraction_strength": lambda sets: _mean([_tail(right) for right in self.right(sets["forget"])]),
            "exact_memorization": lambda sets: _mean([_mean(right) for right in self.right(sets["forget"])]),
            "mia_loss": lambda sets: self.area(sets, lambda rows: [-_mean(one) for one in self.labels(rows, "answer")]),
            "mia_zlib": lambda sets: self.area(sets, self.zlibbed),
            "mia_min_k": lambda sets: self.area(sets, lambda rows: [_lowest(one[:-1]) for one in self.labels(rows, "answer")]),
            "mia_min_k_plus_plus": lambda sets: self.area(sets, self.standardised),
        }

    def passes(self, rows: Rows, column: str, number: int | None = None) -> Any:
        """Each row's log-softmax at its labels (tokens, vocabulary), and the labels; a batch at a time."""
        import torch

        for at in range(0, len(rows), self.asked.batch):
            chosen = rows[at : at + self.asked.batch]
            prompts = [f"Q: {row['prompt']}\nA:" for row in chosen]
            texts = [row[column] if number is None else row[column][number] for row in chosen]
            ids = [
                self.tokenizer(f"{prompt} {text}")["input_ids"] + [self.tokenizer.eos_token_id]
                for prompt, text in zip(prompts, texts, strict=True)
            ]
            width = max(map(len, ids))
            batch = torch.tensor([one + [self.tokenizer.pad_token_id] * (width - len(one)) for one in ids])
            mask = torch.tensor([[1] * len(one) + [0] * (width - len(one)) for one in ids])
            with torch.inference_mode():
                found = self.model(batch, attention_mask=mask).logits.float().log_softmax(-1)
            for row, (prompt, one) in enumerate(zip(prompts, ids, strict=True)):
                start = len(self.tokenizer(prompt)["input_ids"])
                yield found[row, start - 1 : len(one) - 1], torch.tensor(one[start:])

    def labels(self, rows: Rows, column: str, number: int | None = None) -> list[list[float]]:
        return [found.gather(1, labels[:, None])[:, 0].tolist() for found, labels in self.passes(rows, column, number)]

    def nlls(self, rows: Rows, column: str, number: int | None = None) -> list[float]:
        return [-_mean(one) for one in self.labels(rows, column, number)]

    def probs(self, rows: Rows, column: str, number: int | None = None) -> list[float]:
        import math

        return [math.exp(-nll) for nll in self.nlls(rows, column, number)]

    def ratios(self, rows: Rows) -> list[float]:
        import math

        right = self.probs(rows, "paraphrased" if rows[0]["paraphrased"] else "answer")
        wrong = [self.nlls(rows, "perturbed", number) for number in range(len(rows[0]["perturbed"]))]
        return [math.exp(-_mean(those)) / (one + 1e-10) for one, those in zip(right, zip(*wrong, strict=True), strict=True)]

    def normalised(self, rows: Rows) -> list[float]:
        wrong = [self.probs(rows, "perturbed", number) for number in range(len(rows[0]["perturbed"]))]
        right = self.probs(rows, "answer")
        return [one / (one + sum(those) + 1e-10) for one, those in zip(right, zip(*wrong, strict=True), strict=True)]

    def utility(self, sets: Mapping[str, Rows]) -> float:
        parts = [_mean(self.probs(sets["retain"], "answer"))]
        parts += [_mean(self.normalised(sets[name])) for name in ("real_authors", "world_facts")]
        for name in ("retain", "real_authors", "world_facts"):
            parts += [_mean(self.rouges(sets[name])), _mean([max(0, 1 - ratio) for ratio in self.ratios(sets[name])])]
        return 0 if 0 in parts else len(parts) / sum(1 / part for part in parts)

    def rouges(self, rows: Rows) -> list[float]:
        import torch
        from rouge_score.rouge_scorer import RougeScorer

        scorer, found = RougeScorer(["rougeL"], use_stemmer=True), []
        for at in range(0, len(rows), self.asked.batch):
            chosen = rows[at : at + self.asked.batch]
            inputs = self.tokenizer(
                [f"Q: {row['prompt']}\nA:" for row in chosen], padding=True, padding_side="left", return_tensors="pt"
            )
            with torch.inference_mode():
                made = self.model.generate(
                    inputs["input_ids"], attention_mask=inputs["attention_mask"], max_new_tokens=self.asked.tokens,
                    do_sample=False,
                )  # fmt: skip
            texts = self.tokenizer.batch_decode(made[:, inputs["input_ids"].shape[1] :], skip_special_tokens=True)
            pairs = zip(chosen, texts, strict=True)
            found += [scorer.score(row["answer"], text.strip())["rougeL"].recall for row, text in pairs]
        return found

    def right(self, rows: Rows) -> list[list[bool]]:
        return [(found.argmax(-1) == labels).tolist()[:-1] for found, labels in self.passes(rows, "answer")]

    def zlibbed(self, rows: Rows) -> list[float]:
        import zlib

        found = []
        for one, row in zip(self.labels(rows, "answer"), rows, strict=True):
            found.append(-_mean(one) / len(zlib.compress(f" {row['answer']}".encode())))
        return found

    def standardised(self, rows: Rows) -> list[float]:
        scores = []
        for found, labels in self.passes(rows, "answer"):
            mean = (found.exp() * found).sum(-1)
            variance = ((found.exp() * found**2).sum(-1) - mean**2).clamp(min=1e-6)
            own = found.gather(1, labels[:, None])[:, 0]
            scores.append(_lowest(((own - mean) / variance.sqrt()).tolist()[:-1]))
        return scores

    def area(self, sets: Mapping[str, Rows], score: Callable[[Rows], list[float]]) -> float:
        from sklearn.metrics import roc_auc_score

        forget, holdout = score(sets["forget"]), score(sets["holdout"])
        return float(roc_auc_score([0] * len(forget) + [1] * len(holdout), forget + holdout))


def _mean(numbers: Sequence[float]) -> float:
    return sum(numbers) / len(numbers)


def _lowest(numbers: Sequence[float]) -> float:
    return -_mean(sorted(numbers)[: max(1, int(0.4 * len(numbers)))])


def _tail(right: Sequence[bool]) -> float:
    return next((1 - k / len(right) for k in range(len(right)) if all(right[k:])), 1 / len(right))


if __name__ == "__main__":
    main()
