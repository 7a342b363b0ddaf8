"""Job `fetch`: what it does with what the hub answers. The hub itself is the only thing faked."""

from __future__ import annotations

import json
from pathlib import Path
from typing import Any

import httpx
import pytest
from huggingface_hub.errors import GatedRepoError, LocalEntryNotFoundError, RepositoryNotFoundError
from jinja2.sandbox import ImmutableSandboxedEnvironment

from runtime.errors import JobError
from runtime.job import Job
from runtime.jobs import fetch


def job(out: Path, **config: Any) -> Job:
    out.mkdir(exist_ok=True)
    asked = {"hub": "Qwen/Qwen3-4B-Base", "revision": "main", **config}
    return Job("fetch/base_4b", "fetch", "phase1", "f" * 64, None, asked, {}, out)


def hub_with(monkeypatch: pytest.MonkeyPatch, files: dict[str, str]) -> list[dict[str, Any]]:
    """A hub that has one model of these files; returns the requests it gets."""
    asked: list[dict[str, Any]] = []

    def download(hub: str, *, revision: str, local_dir: Path, allow_patterns: list[str]) -> None:
        asked.append({"hub": hub, "revision": revision, "patterns": allow_patterns})
        for name, text in files.items():
            (local_dir / name).write_text(text)

    monkeypatch.setattr(fetch, "snapshot_download", download)
    return asked


def test_the_model_is_asked_for_at_its_revision_and_counted(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    asked = hub_with(monkeypatch, {"config.json": "{}", "model.safetensors": "weights"})
    facts = fetch.run(job(tmp_path, revision="abc"))
    assert asked[0]["hub"] == "Qwen/Qwen3-4B-Base" and asked[0]["revision"] == "abc"
    assert facts["files"] == 2


def test_a_model_that_is_asked_plainly_loses_its_chat_template(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    hub_with(
        monkeypatch,
        {"tokenizer_config.json": '{"chat_template": "{{ x }}", "pad_token": "p"}', "chat_template.jinja": "{{ x }}"},
    )
    fetch.run(job(tmp_path, prompt={"template": "plain", "thinking": False}))
    assert json.loads((tmp_path / "tokenizer_config.json").read_text()) == {"pad_token": "p"}
    assert not (tmp_path / "chat_template.jinja").exists()


def test_a_chat_model_keeps_it(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    hub_with(monkeypatch, {"chat_template.jinja": "{{ x }}"})
    fetch.run(job(tmp_path, prompt={"template": "chat", "thinking": False}))
    assert (tmp_path / "chat_template.jinja").exists()


LLAMA_LIKE = (
    "{% if not date_string is defined %}{% set date_string = '26 Jul 2024' %}{% endif %}{{ date_string }}|"
    "{% for m in messages %}{{ m.role }}:{{ m.content }}|{% endfor %}"
)


@pytest.mark.parametrize(
    "files",
    [
        {"chat_template.jinja": LLAMA_LIKE},
        {"tokenizer_config.json": json.dumps({"chat_template": LLAMA_LIKE, "pad_token": "p"})},
    ],
)
def test_a_system_prompt_and_a_date_become_part_of_the_chat_template(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch, files: dict[str, str]
) -> None:
    hub_with(monkeypatch, files)
    fetch.run(job(tmp_path, prompt={"template": "chat", "thinking": False, "system": 'Be "kind".', "date": "10 Apr 2025"}))
    template = ImmutableSandboxedEnvironment().from_string((tmp_path / "chat_template.jinja").read_text())
    asked = {"role": "user", "content": "Hi"}
    assert template.render(messages=[asked]) == '10 Apr 2025|system:Be "kind".|user:Hi|'
    own = {"role": "system", "content": "Be brief."}
    assert template.render(messages=[own, asked]) == "10 Apr 2025|system:Be brief.|user:Hi|"
    settings = tmp_path / "tokenizer_config.json"
    assert not settings.exists() or json.loads(settings.read_text()) == {"pad_token": "p"}


def test_a_model_without_a_chat_template_takes_no_system_prompt(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    hub_with(monkeypatch, {"tokenizer_config.json": "{}"})
    with pytest.raises(JobError, match="has no chat template"):
        fetch.run(job(tmp_path, prompt={"template": "chat", "thinking": False, "system": "Be kind."}))


REQUEST = httpx.Request("GET", "http://localhost")


@pytest.mark.parametrize(
    ("answer", "told"),
    [
        (GatedRepoError("gated", response=httpx.Response(403, request=REQUEST)), "gated: ask for access"),
        (RepositoryNotFoundError("none", response=httpx.Response(404, request=REQUEST)), "has no model Qwen/Qwen3-4B-Base"),
        (LocalEntryNotFoundError("offline"), "is there a network on this node"),
        (OSError(28, "No space left on device"), "No space left"),
    ],
)
def test_a_refusal_of_the_hub_says_what_to_do(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch, answer: Exception, told: str
) -> None:
    def refuse(*_: Any, **__: Any) -> None:
        raise answer

    monkeypatch.setattr(fetch, "snapshot_download", refuse)
    with pytest.raises(JobError, match=told):
        fetch.run(job(tmp_path))
