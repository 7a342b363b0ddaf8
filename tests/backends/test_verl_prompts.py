"""What VeRL is told of a prompt and of a reward: chat templates that render turn by turn, and graders' verdicts."""

from __future__ import annotations

import importlib.metadata
import json
import threading
from pathlib import Path
from typing import Any

import pytest
from jinja2 import Environment

from runtime.errors import JobError
from runtime.models import train_tokenizer
from runtime.prompts import render_completion, render_prompt
from runtime.rewards import compute_score
from tests.backends import catalog


class Jinja:
    """Renders a chat template as transformers does: trimmed blocks, `eos_token` known."""

    def __init__(self, template: str, eos: str) -> None:
        self.template, self.eos = Environment(trim_blocks=True, lstrip_blocks=True).from_string(template), eos

    def __call__(self, messages: list[dict[str, str]], *, prompt: bool = False, **more: Any) -> str:
        return self.template.render(messages=messages, add_generation_prompt=prompt, eos_token=self.eos, **more)


def template_of(start: str, thinking: bool = False) -> str:
    what, values = catalog.algorithm("sft", "math", start)
    values["settings"]["prompt"]["thinking"] = thinking
    found = catalog.rendered(what, values)["model"]["custom_chat_template"]
    assert isinstance(found, str)
    return found


QUESTION = {"role": "user", "content": "What is 2+2?"}
ANSWER = {"role": "assistant", "content": "It is 4."}
EOS = "<|im_end|>"


@pytest.mark.parametrize(("start", "thinking"), [("base", False), ("safe", False), ("safe", True)])
def test_turn_by_turn_is_the_whole_conversation(start: str, thinking: bool) -> None:
    """VeRL renders each turn by itself and leaves the generation prompt's length out of the answer's loss."""
    render = Jinja(template_of(start, thinking), EOS)
    prompt = render([QUESTION], prompt=True)
    opening = prompt.removeprefix(render([QUESTION]))
    assert render([QUESTION]) + render([ANSWER]) == render([QUESTION, ANSWER])
    assert render([ANSWER]).startswith(opening)
    learned = render([ANSWER]).removeprefix(opening)
    assert learned == (" It is 4." if start == "base" else "It is 4.") + EOS
    assert render([QUESTION, ANSWER]) == prompt + learned


@pytest.mark.parametrize("thinking", [False, True])
def test_a_chat_prompt_is_qwen3s_own(thinking: bool) -> None:
    own = Path(str(importlib.metadata.distribution("trl").locate_file("trl/chat_templates/qwen3.jinja"))).read_text(
        encoding="utf-8"
    )
    ours, qwen = Jinja(template_of("safe", thinking), EOS), Jinja(own, EOS)
    assert ours([QUESTION], prompt=True) == qwen([QUESTION], prompt=True, enable_thinking=thinking)
    if not thinking:
        assert ours([QUESTION, ANSWER]) + "\n" == qwen([QUESTION, ANSWER], enable_thinking=False)


def test_a_plain_prompt_is_the_runtimes_own() -> None:
    tokenizer = train_tokenizer(["Q: What is 2+2?\nA: It is 4."], 300)
    prompt = render_prompt(QUESTION["content"], tokenizer)
    whole = prompt + render_completion(ANSWER["content"], tokenizer) + tokenizer.eos_token
    render = Jinja(template_of("base"), tokenizer.eos_token)
    assert render([QUESTION], prompt=True) == prompt and render([QUESTION, ANSWER]) == whole


# --- rewards -------------------------------------------------------------------------------------------------------------


def reward(output: str, *, answer: str = "18", grader: str = "math") -> float:
    info = {"row": json.dumps({"id": "a", "prompt": "?", "answer": answer})}
    return compute_score("prompts", output, answer, info, grader=grader)


def test_the_reward_is_the_graders_verdict() -> None:
    assert [reward(text) for text in ("so \\boxed{18}", "so \\boxed{17}", "", "18 or 17")] == [1.0, 0.0, 0.0, 0.0]
    assert reward("the Paris.", answer="Paris", grader="qa") == 1.0


def test_rewards_of_many_threads_do_not_mix() -> None:
    outputs = [f"\\boxed{{{number}}}" for number in range(40)]
    found: dict[str, float] = {}
    threads = [threading.Thread(target=lambda text=text: found.update({text: reward(text)})) for text in outputs]
    for thread in threads:
        thread.start()
    for thread in threads:
        thread.join()
    assert [text for text in outputs if found[text]] == ["\\boxed{18}"]


def test_a_reward_needs_the_row_it_was_compiled_with() -> None:
    with pytest.raises(JobError, match=r"no extra_info\.row"):
        compute_score("prompts", "18", "18", {}, grader="math")
    with pytest.raises(JobError, match="is not the row's answer"):
        compute_score("prompts", "18", "17", {"row": '{"answer": "18"}'}, grader="math")
    with pytest.raises(JobError, match="there is no 'maths'"):
        reward("18", grader="maths")
