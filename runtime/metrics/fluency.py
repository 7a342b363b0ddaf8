"""Whether what a model writes is language or gibberish, as a text classifier tells: any that transformers can load."""

from __future__ import annotations

from collections.abc import Callable, Mapping, Sequence
from typing import Any

import torch
from transformers import AutoModelForSequenceClassification, AutoTokenizer

from runtime.errors import JobError

Classifier = Callable[[Sequence[str]], list[float]]


def load_classifier(asked: Mapping[str, Any], device: torch.device, batch: int) -> Classifier:
    """What gives each text the probability, in [0, 1], of the class `asked`; of the published classifier's class 0: clean text.

    Higher: more fluent. `asked` has `classifier`, `revision`, `class` and `max_length`. Raises JobError where there is no such
    classifier, or it has no such class.
    """
    place, which = asked["classifier"], asked["class"]
    more = {"revision": asked["revision"]} if asked["revision"] else {}
    try:
        tokenizer = AutoTokenizer.from_pretrained(place, **more)
        model: Any = AutoModelForSequenceClassification.from_pretrained(place, **more)
    except (OSError, ValueError) as error:
        why = str(error).split("\n")[0]
        raise JobError(f"fluency: cannot load the classifier {place} ({why}); fetch it before, or name a folder") from error
    if which >= model.config.num_labels:
        raise JobError(f"fluency: {place} has no class {which}; it has {model.config.num_labels}, counted from 0")
    model = model.to(device).eval()
    return lambda texts: class_probabilities(model, tokenizer, texts, which, asked["max_length"], batch)


@torch.inference_mode()
def class_probabilities(
    model: Any, tokenizer: Any, texts: Sequence[str], which: int, max_length: int, batch: int
) -> list[float]:
    """softmax(logits)[which] of each text, in order; texts of like length share a batch."""
    order = sorted(range(len(texts)), key=lambda index: (len(texts[index]), index))
    found: dict[int, float] = {}
    for start in range(0, len(order), batch):
        chosen = order[start : start + batch]
        inputs = tokenizer(
            [texts[index] for index in chosen], padding=True, truncation=True, max_length=max_length, return_tensors="pt"
        ).to(model.device)
        values = model(**inputs).logits.float().softmax(dim=-1)[:, which].tolist()
        found.update(zip(chosen, values, strict=True))
    return [found[index] for index in range(len(texts))]
