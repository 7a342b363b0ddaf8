"""The miniature: what its studies expand to, whose answers its methods learn from, and what they have in common."""

from __future__ import annotations

from itertools import product

import pytest

from tests.specs.plans import cell, cells, jobs, of_kind, source, trainings

METHODS = ("gt_sft", "sf_sft", "cf_sft", "self", "on_rl", "off_rl", "pi")
DOMAINS, STARTS = ("math", "code", "qa"), ("base", "safe")


def data(study: str, name: str) -> str:
    """The dataset job of a cell's last training."""
    return source(trainings(study, name)[-1], "data")


def sampler(study: str, name: str) -> str:
    """Whose answers a cell's last training is built from."""
    traces = source(jobs(study)[data(study, name)], "traces")
    return source(jobs(study)[traces], "model")


def test_all_seven_methods_on_three_domains_from_two_starts_are_42_cells() -> None:
    wanted = {f"{method}_{domain}_{start}_micro" for method, domain, start in product(METHODS, DOMAINS, STARTS)}
    assert set(cells("micro")) == wanted and len(cells("micro")) == 42
    for name in cells("micro"):
        assert cell("micro", name).after.keys() >= {"math", "code", "qa", "safety"}


@pytest.mark.parametrize(("method", "teacher"), [("sf_sft", "qwen3_large"), ("cf_sft", "llama_large"), ("pi", "qwen3_large")])
def test_teachers_are_trained_by_the_plan_and_sampled_once_a_domain(method: str, teacher: str) -> None:
    for domain, start in product(DOMAINS, STARTS):
        assert sampler("micro", f"{method}_{domain}_{start}_micro") == f"pretrain/{teacher}"
    sampled = [job for job in of_kind("micro", "generate") if source(job, "model") == f"pretrain/{teacher}"]
    assert len(sampled) == 3


def test_one_teacher_is_of_the_starts_family_and_larger_and_the_other_of_another() -> None:
    start, same, other = (jobs("micro")[f"pretrain/{name}"] for name in ("base_micro", "qwen3_large", "llama_large"))
    shapes = [job.settings["model"] for job in (start, same, other)]
    assert [shape["architecture"] for shape in shapes] == ["qwen3", "qwen3", "llama"]
    assert shapes[1]["hidden"] > shapes[0]["hidden"]
    assert shapes[0]["vocabulary"] == shapes[1]["vocabulary"] != shapes[2]["vocabulary"]
    for teacher in (same, other):
        assert {part["slips"] for part in teacher.settings["mixture"].values()} == {0.0}


@pytest.mark.parametrize("method", ["self", "pi"])
def test_a_start_has_learned_the_form_in_which_its_teacher_is_shown_a_demonstration(method: str) -> None:
    trained = trainings("micro", f"{method}_math_base_micro")[-1]
    form = "{prompt}" + trained.settings["demonstration"] if method == "self" else trained.settings["privileged"] + "{prompt}"
    for start in STARTS:
        assert form in jobs("micro")[f"pretrain/{start}_micro"].settings["demonstrations"]["forms"]


def test_the_first_look_is_a_part_of_the_miniature() -> None:
    assert cells("micro_first") == [f"{method}_math_base_micro" for method in METHODS]
    whole = {job.id: job.fingerprint for job in jobs("micro").values()}
    own = [job for job in jobs("micro_first").values() if job.kind != "report"]
    assert all(whole[job.id] == job.fingerprint for job in own)


def test_learning_from_oneself_comes_in_four_kinds() -> None:
    assert len(cells("micro_self")) == 12
    for domain in DOMAINS:
        assert [job.what for job in trainings("micro_self", f"spin_{domain}_base_micro")] == ["dpo", "dpo"]
        pi, opsd = (trainings("micro_self", f"{method}_{domain}_base_micro")[-1] for method in ("pi", "opsd"))
        assert (pi.what, opsd.what) == ("pi_distill", "pi_distill")
        assert (pi.settings["objective"], opsd.settings["objective"]) == ("pi_distill", "opsd")
        assert source(pi, "data") == source(opsd, "data") and opsd.settings["alpha_end"] is None
