"""The fidelity page: a table of all rows at the top, then a section with a figure for each part of the plant."""

from __future__ import annotations

import re
import textwrap
from importlib import import_module
from pathlib import Path

from fidelity.row import Section

PAGE = Path(__file__).parents[1] / "fidelity.md"
IMAGES = Path(__file__).parents[1] / "images" / "fidelity"
GROUPS = {
    "exchanger": "Heat exchanger of a CDU",
    "pumps": "Pumps and pressure drop",
    "heat_pump": "Heat pump",
    "fluids": "Coolant",
    "wet_bulb": "Wet bulb",
    "dry_cooler": "Dry cooler",
    "electrical": "UPS, transformers, power shelves",
    "pue": "PUE",
    "rack": "Rack power",
    "junction": "Junction and loss of flow",
    "site_power": "Site power per GPU",
    "heat_demand": "District heating",
    "training_time": "Training time under failures",
    "replay": "Recorded jobs, replayed",
}
"""Parts of the page: module and heading."""
HEAD = """\
# Fidelity

How far the models of the plant are from references that share no code with them, or, where no such reference is open, from
published figures. `make fidelity` computes every number on this page, draws the figures and writes the page; the same lines
are computed again by `pytest tests/test_fidelity.py`, which fails when a model leaves its bounds or this page is out of date.

* *Ours / reference* stands for the worst point. Errors are ours less the reference; relative ones are of the reference.
* A reference that is a range (*a to b*) counts as met anywhere inside; outside, the error is to the nearer end.
* RMS: root mean square over all points.
* The *design basis* is the set of figures that the plant was laid out by; those that the product uses stand in `kvandal params`
  with their sources. Where such a figure is judgement it is no independent reference: the line only proves that the code does what it says.
* The *design basis* is the project's collection of published and estimated figures; the numbers in use stand with range, label
  and source in `kvandal params`.

"""
COLUMNS = (
    "part",
    "quantity",
    "our model",
    "reference",
    "range, points",
    "ours / reference",
    "largest error",
    "RMS error",
    "why",
)
TABLE_HEAD = f"| {' | '.join(COLUMNS)} |\n|{'---|' * len(COLUMNS)}\n"


def section_of(name: str) -> Section:
    """Compute one part of the page."""
    found: Section = import_module(f"fidelity.{name}").section()
    return found


def table(name: str, section: Section) -> str:
    """Lines of the table of one part."""
    return _minus("\n".join(f"{_link(name)} {row.cells()}" for row in section.rows))


def _link(name: str) -> str:
    anchor = GROUPS[name].lower().replace(",", "").replace(" ", "-")
    return f"| [{GROUPS[name]}](#{anchor}) |"


def prose(name: str, section: Section) -> str:
    """Heading, figure and paragraph of one part."""
    figure = section.figure
    text = textwrap.fill(section.text, 120, break_long_words=False, break_on_hyphens=False)
    return _minus(f"## {GROUPS[name]}\n\n![{figure.alt}](images/fidelity/{figure.name}.svg)\n\n{text}\n")


def _minus(text: str) -> str:
    """Write a true minus sign before numbers."""
    return re.sub(r"(?<![\w-])-(?=\d)", "\u2212", text)


def page(tables: list[str], texts: list[str]) -> str:
    """Put the page together."""
    return HEAD + TABLE_HEAD + "\n".join(tables) + "\n\n" + "\n".join(texts)


def on_page(name: str, text: str) -> tuple[str, str]:
    """Lines of the table and the text of one part, as they stand on a page."""
    lines = [line for line in text.splitlines() if line.startswith(_link(name))]
    parts = re.split(r"^(?=## )", text, flags=re.MULTILINE)
    mine = [part for part in parts if part.startswith(f"## {GROUPS[name]}\n")]
    return "\n".join(lines), "".join(mine).rstrip("\n") + "\n"


WRAPPED = re.compile(r"(?<=[^\n])\n(?=[^\n|#<])")
"""A line break within a paragraph: where it falls depends on the width of numbers."""
NUMBER = re.compile(r"(?<![\w.])[+\u2212-]?\d+(?:\.\d+)?(?![\w])")


def differences(found: str, expected: str) -> list[str]:
    """Where two texts differ by more than one unit of a number's last printed digit."""
    found, expected = (WRAPPED.sub(" ", text) for text in (found, expected))
    words_found, words_expected = NUMBER.sub("#", found), NUMBER.sub("#", expected)
    if words_found != words_expected:
        pairs = zip(words_found.splitlines(), words_expected.splitlines(), strict=False)
        return [f"{a!r} instead of {b!r}" for a, b in pairs if a != b] or ["one text is longer"]
    wrong = []
    for a, b in zip(NUMBER.findall(found), NUMBER.findall(expected), strict=True):
        unit = 10.0 ** -max(len(text.partition(".")[2]) for text in (a, b))
        if abs(_value(a) - _value(b)) > 1.01 * unit:
            wrong.append(f"{a} instead of {b}")
    return wrong


def _value(text: str) -> float:
    return float(text.replace("\u2212", "-"))
