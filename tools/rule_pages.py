"""A page of the documentation for each rule and combinator, written from its record and from the formula that runs."""

from __future__ import annotations

import inspect
import re
from collections.abc import Iterator, Mapping

from fallline import optim, rules
from fallline.landscape import Path, path, surfaces
from fallline.pages.player import player, scene_of
from fallline.rules import Record
from fallline.rules.record import Twin
from fallline.symbolic import Combinator, Rule, State

#: What each keeps of a tensor, in words.
_KINDS = {"tensor": "like the tensor", "scalar": "one number a tensor", "global": "one number for all tensors"}
#: Methods in the order of a course, by the rule that the others vary.
_FAMILIES = {
    None: "Gradient descent, and what varies none of the others",
    "momentum": "Momentum",
    "AdaGrad": "AdaGrad's family",
    "Adam": "Adam's family",
}


_BACK = "[Every rule](../rules.md)\n"
#: What has a page.
NAMES = (*rules.RECORDS, *rules.COMBINATORS)


def page(name: str, claims: Mapping[int, tuple[str, str]]) -> str:
    """The page of a rule or a combinator, in Markdown.

    Args:
        name: One of `NAMES`.
        claims: What each lesson claims, by its number, and what was found of it; the page tells the lessons that
            speak of its rule.
    """
    combinator = rules.COMBINATORS.get(name)
    return _rule(rules.RECORDS[name], claims) if combinator is None else _combinator(combinator)


def index() -> str:
    """The page that leads to all of them."""
    parts = [
        "# Every rule\n",
        "Each page is written from the rule's record and from the formula that runs: the equation, what it costs, "
        "where its conventions differ from other libraries', a picture, when to use it and what is known against it. "
        "`fallline rules` lists them in a terminal, `fallline show adam` prints one.\n",
    ]
    for family, heading in _FAMILIES.items():
        own = [record for record in rules.RECORDS.values() if record.family == family]
        parts += [f"## {heading}\n", "| rule | when to use it |", "|---|---|"]
        parts += [f"| [{record.name}](rules/{record.name}.md){_also(record)} | {record.use} |" for record in own]
        parts.append("")
    parts += ["## Combinators, which make a rule of a rule\n", "| combinator | what it does |", "|---|---|"]
    parts += [f"| [{name}](rules/{name}.md) | {_paragraphs(one)[0]} |" for name, one in rules.COMBINATORS.items()]
    return "\n".join(parts) + "\n"


def _also(record: Record) -> str:
    return f" ({', '.join(record.aliases)})" if record.aliases else ""


def _rule(record: Record, claims: Mapping[int, tuple[str, str]]) -> str:
    rule, cost = record.rule, record.rule.cost()
    parts = [f"# {record.name}{_also(record)}\n", _BACK, *_said(rule), *_equation(rule)]
    parts += [
        f"**When to use it.** {record.use}\n",
        f"**Known weakness.** {record.weakness}\n",
        f"**Published.** {record.year}. {record.source}.\n",
        *_lessons_on(record, claims),
        *_picture(record),
        *_use(record),
        "## Conventions\n",
        *_conventions(record),
        "## Cost\n",
        f"For each parameter in single precision a step moves {cost.bytes_moved} bytes, does {cost.operations} "
        f"operations and keeps {cost.state_bytes} bytes of state, in {cost.passes} "
        f"{'pass' if cost.passes == 1 else 'passes'} over memory.\n",
        *_settings(rule, record),
    ]
    return "\n".join(parts)


def _combinator(combinator: Combinator) -> str:
    name, combined = combinator.__name__, combinator(rules.gradient_descent)
    parts = [
        f"# {name}\n",
        _BACK,
        *_said(combinator),
        f"`{name}(gradient_descent)`, as an example of what it makes of a rule:\n",
        *_equation(combined),
        "```python",
        "from fallline import rules",
        "",
        f"combined = rules.{name}(rules.adam)",
        "print(combined.latex())",
        "```\n",
        *_settings(combined, None),
    ]
    return "\n".join(parts)


def _said(documented: object) -> list[str]:
    return [f"{_linked(paragraph)}\n" for paragraph in _paragraphs(documented)]


def _paragraphs(documented: object) -> list[str]:
    text = inspect.cleandoc(documented.__doc__ or "").partition("\n>>>")[0].strip()
    text = re.split(r"^(?:Args|Returns|Raises):", text, flags=re.MULTILINE)[0]
    return [" ".join(paragraph.split()) for paragraph in text.split("\n\n") if paragraph.strip()]


def _linked(text: str) -> str:
    """Names of rules and combinators in it link to their pages."""
    known = rules.RECORDS.keys() | rules.COMBINATORS.keys()
    return re.sub(r"`(\w+)`", lambda found: f"[`{found[1]}`]({found[1]}.md)" if found[1] in known else found[0], text)


def _equation(rule: Rule) -> list[str]:
    return [f"$$\n{rule.latex()}\n$$\n"]


def _lessons_on(record: Record, claims: Mapping[int, tuple[str, str]]) -> Iterator[str]:
    names = "|".join(name.replace("_", " ") for name in (record.name, *record.aliases))
    for number, (claim, finding) in claims.items():
        if re.search(rf"\b({names})\b", claim, re.IGNORECASE):
            yield f"[Lesson {number}](../lessons.md#lesson-{number}): *{claim}* Found: **{finding}**.\n"


def _picture(record: Record) -> list[str]:
    """Beside gradient descent on the ravine."""
    paths = {name: _walk(rules.RECORDS[name]) for name in dict.fromkeys(("gradient_descent", record.name))}
    said = "; ".join(f"`{name}` {one.description}" for name, one in paths.items())
    return [
        "## A picture\n",
        f"On a ravine, fifty times as steep across as along: {said}. Each goes at a rate to begin with, which a race "
        "would tune. Two coordinates show how a rule moves, and not which rule is best for a network.\n",
        f'<div class="fl-in-page">{player(scene_of(surfaces.ravine, list(paths.values())))}</div>\n',
    ]


def _walk(record: Record) -> Path:
    """At the rate that makes the surface's point, or one to begin with, halved until the path stays on the map."""
    names = (record.name, *record.aliases)
    rate = next((one.lr for one in surfaces.ravine.demonstrations if one.method in names), record.surface_lr)
    while True:
        found = path(surfaces.ravine, record.name, lr=rate)
        if all(surfaces.ravine.shows((x, y)) for x, y in found.points):
            return found
        rate = float(f"{rate / 2:.2g}")


def _use(record: Record) -> list[str]:
    rate = record.rule.hyperparameters["lr"]
    lr = f"lr={rate:g}" if isinstance(rate, float) else "lr=0.01"
    lines = ["from torch import nn", "", "import fallline as fl", "", "model = nn.Linear(30, 2)"]
    lines.append(f"optimizer = fl.Optimizer(model.parameters(), fl.rules.{record.name}, {lr})")
    said = []
    if record.twin is not None:
        name, options = record.twin.name, ", ".join(f"{key}={value!r}" for key, value in _options(record, record.twin))
        lines.append(f"same = fl.optim.{name}(model.parameters(), {', '.join(filter(None, (lr, options)))})")
        also = f", with {options}" if options else ""
        said.append(f"`fl.optim.{name}` takes `torch.optim.{name}`'s arguments and shares its checkpoints{also}.\n")
    elif record.class_name is not None:
        lines.append(f"same = fl.optim.{record.class_name}(model.parameters(), {lr})")
        said.append("torch has no class of it.\n")
    if record.class_name is not None:
        said.append(f"For plain NumPy arrays: `fallline.arrays.{record.class_name}`.\n")
    low, high = record.lr[:2]
    name = (record.aliases or (record.name,))[0]
    said.append(
        f"A race calls it `{name}` and searches its rate from {low:g} to {high:g}, further out where it must.\n"
    )
    return ["## In a program\n", "```python", *lines, "```\n", *said]


def _options(record: Record, twin: Twin) -> Iterator[tuple[str, object]]:
    """What makes torch's class take the rule's steps, where its own defaults do not."""
    yield from twin.options.items()
    for name, one in inspect.signature(getattr(optim, twin.name)).parameters.items():
        value = record.rule.hyperparameters.get(name, one.default)
        if name not in ("lr", *twin.options) and value != one.default:
            yield name, value


def _conventions(record: Record) -> list[str]:
    """What stands under other names and is the same method, with each one's equation."""
    others = [rules.RECORDS[name] for name in record.conventions if name != record.name]
    if not others:
        return ["Nothing else here is this method by another convention.\n"]
    parts = [" ".join(("The same method as others write it.", *_paragraphs(record.rule)[1:])) + "\n"]
    for one in others:
        parts.append(f"**[{one.name}]({one.name}.md).** {_paragraphs(one.rule)[0]} {one.use}\n")
        parts += _equation(one.rule)
    return [_linked(part) for part in parts]


def _settings(rule: Rule, record: Record | None) -> list[str]:
    parts = ["## Hyperparameters and states\n", "| hyperparameter | default | may be | searched |", "|---|---|---|---|"]
    for name, value in rule.hyperparameters.items():
        limits, space = (None, None) if record is None else (record.interval(name), record.space(name))
        default = "to be given" if value is None else f"{value:g}" if isinstance(value, float) else str(value)
        where = "" if space is None else f"{space[0]:g} to {space[1]:g}"
        parts.append(f"| `{name}` | {default} | {limits or ''} | {where} |")
    states = ", ".join(map(_state, rule.states)) or "none"
    return [*parts, "", f"States: {states}.\n"]


def _state(state: State) -> str:
    return f"`{state.name}` ({_KINDS[state.kind]})"
