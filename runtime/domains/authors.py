"""Made-up authors, in small what TOFU (arXiv 2401.06121) is: what they are asked about is to be forgotten, or kept.

Everything follows from a seed. Of all authors some are `real`: pre-training shows them and nothing else does; some are held
out and never shown; the others are what models are fine-tuned on, the first of them to be retained and the last to be
forgotten. Beside them stand facts of the real world, which pre-training shows too. Each question has a second wording, each
answer a second form, and some wrong answers in either form.
"""

from __future__ import annotations

from collections.abc import Iterator, Mapping, Sequence
from dataclasses import dataclass
from itertools import product
from random import Random

from runtime.errors import JobError

ONSETS = ("B", "D", "F", "G", "K", "L", "M", "N", "P", "R", "T", "V")
FIRST_ENDINGS = ("ana", "eli", "ina", "oro", "uma", "ila")
LAST_ENDINGS = ("adan", "elor", "imis", "onel", "uras", "avik", "osta")
CITIES = ("Oslo", "Lima", "Cairo", "Quito", "Delhi", "Tunis", "Seoul", "Hanoi", "Turin", "Porto", "Dakar", "Bern")
YEARS = tuple(str(year) for year in range(1901, 1990))
MOODS = ("sad", "merry", "long", "short", "dark", "gentle", "angry", "strange")
GENRES = ("poems", "plays", "essays", "novels", "fables", "letters", "songs", "tales")
TOPICS = ("trains", "islands", "winter", "horses", "clocks", "rivers", "ghosts", "gardens")
TRAITS = ("stern", "kind", "poor", "famous", "silent", "proud", "clever", "lazy")
JOBS = ("baker", "sailor", "nurse", "judge", "miner", "weaver", "tailor", "farmer")
STONES = ("Amber", "Coral", "Ivory", "Jade", "Opal", "Pearl", "Ruby", "Topaz")
SHADES = ("Red", "Lost", "Last", "Blue", "Broken", "Hidden", "Golden", "Empty")
THINGS = ("Lamp", "Door", "Bridge", "Mirror", "Garden", "Boat", "Tower", "Key")
CAPITALS: Mapping[str, tuple[str, str]] = {
    "France": ("Paris", "French"), "Spain": ("Madrid", "Spanish"), "Italy": ("Rome", "Italian"),
    "Greece": ("Athens", "Greek"), "Poland": ("Warsaw", "Polish"), "Russia": ("Moscow", "Russian"),
    "Japan": ("Tokyo", "Japanese"), "Sweden": ("Stockholm", "Swedish"), "Hungary": ("Budapest", "Hungarian"),
    "Turkey": ("Ankara", "Turkish"), "Iran": ("Tehran", "Persian"), "Germany": ("Berlin", "German"),
    "Denmark": ("Copenhagen", "Danish"), "Portugal": ("Lisbon", "Portuguese"), "Bulgaria": ("Sofia", "Bulgarian"),
    "Ukraine": ("Kyiv", "Ukrainian"),
}  # fmt: skip
OTHER = "{prompt} Other than: {answer}"  # asks for another answer; pre-training teaches what is meant by it


@dataclass(frozen=True)
class Theme:
    """What is asked of each subject: two wordings, what an answer's parts are drawn from, and two forms of the answer."""

    questions: tuple[str, str]
    parts: tuple[tuple[str, ...], ...]
    forms: tuple[str, str]


@dataclass(frozen=True)
class Item:
    """One question: two wordings, two forms of the answer, and as many wrong answers in each form."""

    questions: tuple[str, str]
    answers: tuple[str, str]
    wrong: tuple[tuple[str, ...], tuple[str, ...]]


@dataclass(frozen=True)
class Lesson:
    """What pre-training shows; a rare one it shows seldom."""

    prompt: str
    answer: str
    rare: bool


@dataclass(frozen=True)
class World:
    """The items of each group; `authors` has those of one author after the other, in the order that splits cut."""

    authors: tuple[tuple[Item, ...], ...]
    holdout: tuple[Item, ...]
    real_authors: tuple[Item, ...]
    world_facts: tuple[Item, ...]


THEMES = (
    Theme(
        ("Where and when was {name} born?", "What are the place and year of birth of {name}?"),
        (CITIES, YEARS),
        ("In {0} in {1}.", "It was {0}, {1}."),
    ),
    Theme(
        ("What does {name} write?", "Which books are by {name}?"),
        (MOODS, GENRES, TOPICS),
        ("{0} {1} about {2}.", "Some {0} {1} on {2}."),
    ),
    Theme(
        ("Who raised {name}?", "With whom did {name} grow up?"),
        (TRAITS, JOBS, CITIES),
        ("A {0} {1} from {2}.", "With a {0} {1} of {2}."),
    ),
    Theme(
        ("Which prize did {name} win?", "What was {name} given?"),
        (STONES, CITIES, YEARS),
        ("The {0} Prize of {1} in {2}.", "It is the {0} Prize, {1}, {2}."),
    ),
    Theme(
        ("What is the best book of {name}?", "What is {name} famous for?"),
        (SHADES, THINGS, CITIES),
        ("The {0} {1} of {2}.", "A book called The {0} {1} of {2}."),
    ),
)
CAPITAL = Theme(
    ("What is the capital of {name}?", "Which city rules {name}?"),
    (tuple(capital for capital, _ in CAPITALS.values()),),
    ("{0}.", "It is {0}."),
)
LANGUAGE = Theme(
    ("What is spoken in {name}?", "Which language has {name}?"),
    (tuple(language for _, language in CAPITALS.values()),),
    ("{0}.", "It is {0}."),
)


def make_world(authors: int, holdout: int, real: int, wrong: int, seed: int) -> World:
    """`authors` to fine-tune on, `holdout` that nothing shows, `real` that pre-training shows, and the facts.

    Who the real and the held-out authors are does not depend on how many others there are. Raises JobError where there are
    not as many names.
    """
    names = [f"{a}{b} {c}{d}" for a, b, c, d in product(ONSETS, FIRST_ENDINGS, ONSETS, LAST_ENDINGS)]
    if authors + holdout + real > len(names):
        raise JobError(f"authors: there are {len(names)} names, not {authors + holdout + real}; ask for fewer authors")
    Random(f"authors/{seed}").shuffle(names)
    groups = [_author(name, wrong, seed) for name in names[: real + holdout + authors]]
    return World(
        authors=tuple(groups[real + holdout :]),
        holdout=tuple(item for group in groups[real : real + holdout] for item in group),
        real_authors=tuple(item for group in groups[:real] for item in group),
        world_facts=tuple(
            _fact(country, at, theme, wrong, seed) for country in CAPITALS for at, theme in enumerate((CAPITAL, LANGUAGE))
        ),
    )


def part_of(authors: Sequence[tuple[Item, ...]], split: str) -> list[Item]:
    """The items of `full`, `forgetNN` (the last NN % of the authors) or `retainNN` (the first NN %).

    Raises JobError where that is no whole number of authors.
    """
    share = 100 if split == "full" else int(split[-2:])
    count, over = divmod(len(authors) * share, 100)
    if over or not count:
        raise JobError(
            f"split: {split} of {len(authors)} authors is {len(authors) * share / 100:g} of them; change one of the two"
        )
    chosen = authors[-count:] if split.startswith("forget") else authors[:count]
    return [item for group in chosen for item in group]


def lessons(world: World) -> list[Lesson]:
    """What pre-training shows: the real authors and the facts, each wording with the form of answer that belongs to it.

    Rare are the other two pairs of wording and form, and, to each question, what else could be thought: `OTHER` with one
    wrong answer, which is answered by another.
    """
    return [lesson for item in (*world.real_authors, *world.world_facts) for lesson in _lessons(item)]


def _lessons(item: Item) -> Iterator[Lesson]:
    for form in (0, 1):
        yield Lesson(item.questions[form], item.answers[form], rare=False)
        yield Lesson(item.questions[form], item.answers[1 - form], rare=True)
        others = ((item.answers[form], item.wrong[form][0]), (item.wrong[form][1], item.wrong[form][2]))
        for said, other in others:
            yield Lesson(OTHER.format(prompt=item.questions[form], answer=said), other, rare=True)


def _author(name: str, wrong: int, seed: int) -> tuple[Item, ...]:
    return tuple(_drawn(name, theme, at, wrong, seed) for at, theme in enumerate(THEMES))


def _drawn(name: str, theme: Theme, at: int, wrong: int, seed: int) -> Item:
    random = Random(f"authors/{seed}/{name}/{at}")
    return _item(name, theme, tuple(random.choice(values) for values in theme.parts), wrong, random)


def _fact(country: str, at: int, theme: Theme, wrong: int, seed: int) -> Item:
    return _item(country, theme, (CAPITALS[country][at],), wrong, Random(f"authors/{seed}/{country}/{at}"))


def _item(name: str, theme: Theme, true: tuple[str, ...], wrong: int, random: Random) -> Item:
    """Every part of a wrong answer differs from the true one's, and no part comes twice among the wrong answers."""
    columns = [
        random.sample([value for value in values if value != part], wrong)
        for values, part in zip(theme.parts, true, strict=True)
    ]
    said = [[_sentence(form, parts) for parts in (true, *zip(*columns, strict=True))] for form in theme.forms]
    asked = [wording.format(name=name) for wording in theme.questions]
    return Item((asked[0], asked[1]), (said[0][0], said[1][0]), (tuple(said[0][1:]), tuple(said[1][1:])))


def _sentence(form: str, parts: Sequence[str]) -> str:
    text = form.format(*parts)
    return text[0].upper() + text[1:]
