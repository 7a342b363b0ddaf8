"""The HTML: one well-formed file that needs nothing else, says everything in text too, and trusts no name."""

from __future__ import annotations

import re
from html.parser import HTMLParser

import pytest

from runtime.report.svg import element

BEFORE = [1] * 40 + [0] * 60
BETTER = [1] * 70 + [0] * 30
WORSE = [0] * 30 + [1] * 10 + [0] * 60
VOID = {"meta", "br", "link", "img", "hr", "input"}
HOSTILE = ["<script>alert(1)</script>", '"onload="alert(1)', "a\nb", "{{ 7 * 7 }}", "&amp;'", "</svg></style>"]


class Page(HTMLParser):
    """Checks that tags close in order; collects elements, their text and attributes."""

    def __init__(self, source: str) -> None:
        super().__init__()
        self.open: list[str] = []
        self.elements: list[tuple[str, dict[str, str | None]]] = []
        self.texts: dict[str, list[str]] = {}
        self.feed(source)
        self.close()
        assert self.open == []

    def handle_starttag(self, tag, attrs):
        self.elements.append((tag, dict(attrs)))
        if tag not in VOID:
            self.open.append(tag)
            self.texts.setdefault(tag, []).append("")

    def handle_endtag(self, tag):
        assert self.open.pop() == tag

    def handle_data(self, data):
        if self.open:
            self.texts[self.open[-1]][-1] += data

    def all(self, tag: str) -> list[dict[str, str | None]]:
        return [attributes for name, attributes in self.elements if name == tag]


def source_of(study) -> str:
    study.report()
    return next(study.store.glob("report/*/report.html")).read_text()


@pytest.fixture
def source(study) -> str:
    study.everything(BEFORE, BETTER, WORSE)
    (study.folder("evaluate/rl_qa_base_micro.math") / "DONE.json").unlink()
    return source_of(study)


def test_it_is_well_formed_and_every_id_is_its_own(source):
    page = Page(source)
    ids = [attributes["id"] for _, attributes in page.elements if "id" in attributes]
    assert len(ids) == len(set(ids))
    targets = [attributes["href"] for attributes in page.all("a")]
    assert targets and all(target[0] == "#" and target[1:] in ids for target in targets)
    labels = [attributes["aria-labelledby"] for _, attributes in page.elements if "aria-labelledby" in attributes]
    assert labels and set(labels) <= set(ids)


def test_it_needs_no_network_and_no_script(source):
    page = Page(source)
    assert not {tag for tag, _ in page.elements} & {"script", "link", "img", "iframe", "object", "base"}
    assert not [
        name for _, attributes in page.elements for name in attributes if name in ("src", "srcset") or name.startswith("on")
    ]
    assert not re.search(r"https?:|@import|url\((?!#)", source)
    policy = next(a["content"] for a in page.all("meta") if a.get("http-equiv") == "Content-Security-Policy")
    assert policy == "default-src 'none'; style-src 'unsafe-inline'"


def test_it_follows_the_readers_light_or_dark(source):
    assert "@media (prefers-color-scheme: dark)" in source


def test_every_drawing_has_a_title_and_every_table_its_headers(source):
    page = Page(source)
    drawings = page.all("svg")
    assert len(drawings) == 2 + 2
    assert all(drawing["role"] == "img" and drawing["aria-labelledby"] for drawing in drawings)
    assert len(page.all("caption")) == len(page.all("table"))
    assert all(header.get("scope") for header in page.all("th"))


def test_the_heatmap_shows_each_change_as_a_number_and_outlines_the_trained_domain(source):
    figure = source[source.index('aria-labelledby="s0-heatmap"') :].split("</svg>")[0]
    assert figure.count("▲ +30.0") == 4
    assert figure.count("▼ −30.0") == 3  # noqa: RUF001
    assert figure.count('class="trained"') == 4 + 1
    assert figure.count(">missing<") == 1


def test_a_result_without_a_number_is_marked_counted_and_explained(source):
    page = Page(source)
    assert "7 of 8 results" in page.texts["li"]
    assert "missing: waits for train/rl_qa_base_micro" in page.texts["td"]
    assert "1 of 8 results have no number." in page.texts["strong"]


def test_an_incomplete_method_is_drawn_hollow(source):
    scatter = source[source.index('aria-labelledby="s0-scatter"') :].split("</svg>")[0]
    assert re.findall(r'class="mean m(\d)( hollow)?"', scatter) == [("0", ""), ("1", " hollow")]


def test_an_empty_store_still_gives_a_whole_page(study):
    page = Page(source_of(study))
    assert "0 of 8 results" in page.texts["li"]
    assert "No method has a result on both its trained domain and another suite yet." in page.texts["p"]


def test_provenance_names_versions_prompts_hardware_and_fingerprints(study):
    for model in ("base_micro", *(cell["id"] for cell in study.cells())):
        for suite in study.suites:
            outcomes = dict.fromkeys(suite["tasks"], BEFORE)
            study.scores(model, suite["name"], outcomes, {"version": 3, "hardware": "NVIDIA A100", "dtype": "bfloat16"})
    source = source_of(study)
    assert study.job().fingerprint in source
    rows = [row for row in source.split("<tr>") if "NVIDIA A100" in row]
    assert len(rows) == 2 and all("<td>3</td>" in row and "<td>bfloat16</td>" in row for row in rows)
    prompt = study.found()["suites"][0]["prompt_hashes"]["gsm"][0]
    assert prompt[:12] in rows[0]


def test_tasks_of_a_suite_are_listed_one_by_one_when_it_has_several(make_study):
    suites = [{"name": "general", "tasks": ["arc", "piqa"], "domain": None}]
    page = Page(source_of(make_study(methods=("sft",), suites=suites).everything(BEFORE, BETTER, WORSE)))
    assert "general · arc" in page.texts["td"] and "general · piqa" in page.texts["td"]


@pytest.mark.parametrize("name", HOSTILE)
def test_a_drawing_takes_no_name_as_markup_in_words_or_in_attributes(name):
    page = Page(str(element("g", {"class": name}, name)))
    shown = name.replace("\n", "\N{REPLACEMENT CHARACTER}")
    assert page.elements == [("g", {"class": shown})]
    assert page.texts == {"g": [shown]}


@pytest.mark.parametrize("name", HOSTILE)
def test_no_name_is_taken_as_markup(study, name):
    study.everything(BEFORE, BETTER, WORSE)
    cells = study.cells()
    for cell in cells:
        cell.update(id=cell["id"] + name, method=name, start=name, scale=name)
    study.changed = {"cells": cells, "title": name}
    source = source_of(study)
    page = Page(source)
    assert not page.all("script")
    assert not [attribute for _, attributes in page.elements for attribute in attributes if attribute.startswith("on")]
    assert page.texts["h1"] == [name.replace("\n", "\N{REPLACEMENT CHARACTER}")]
    assert len(page.all("svg")) == 3
