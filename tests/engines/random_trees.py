"""Random sites with random trees of tenants whose limits can be kept together."""

from __future__ import annotations

from hypothesis import strategies as st

from kvandal.engines.entitlements import plain_name
from kvandal.scenario.model import Run, Scenario
from kvandal.scenario.site import Fleet, Site
from kvandal.scenario.tenants import Tenant

NAMES = st.text("abcxyzæøå -_/,.'\"09", min_size=1, max_size=12).filter(
    lambda name: any(letter.isalnum() for letter in name)
)
KINDS = ("gb200_nvl72", "gb300_nvl72", "rubin_nvl72")


@st.composite
def scenarios(draw: st.DrawFn) -> Scenario:
    """A site of one to three kinds of rack, and a tree of up to ten tenants whose limits can be kept together."""
    kinds = draw(st.lists(st.sampled_from(KINDS), min_size=1, max_size=3, unique=True))
    fleet = {kind: Fleet(model=kind, gpus=72 * draw(st.integers(2, 40))) for kind in kinds}
    tenants: dict[str, Tenant] = {}
    taken: set[str] = {"root", "loans", "normal", "default", "kueue-system"}

    def place(parent: str | None, share: int, promise: int, depth: int) -> None:
        """Put one to three tenants below a group that deserves `share` and is promised `promise` thousandths."""
        count = draw(st.integers(1, 3))
        for index in range(count):
            name = f"{draw(NAMES)}{depth}{index}{len(tenants)}"
            if plain_name(name) in taken:
                continue
            taken.add(plain_name(name))
            lent = depth == 0 and draw(st.booleans())
            deserved = 0 if lent else draw(st.integers(0, share // count))
            guarantee = draw(st.integers(0, min(deserved, promise // count)))
            ceiling = None if parent or draw(st.booleans()) else draw(st.integers(deserved, 1000))
            summed = draw(st.booleans())  # a group may leave the sum of its children to us
            grows = not lent and depth < 2 and draw(st.booleans())
            if grows:
                place(name, deserved, guarantee, depth + 1)
            group = any(other.parent == name for other in tenants.values())
            tenants[name] = Tenant(
                tier="lent" if lent else draw(st.sampled_from(("firm", "assured"))),
                parent=parent,
                guarantee_share=None if summed and group else guarantee / 1000,
                deserved_share=None if summed and group else deserved / 1000,
                ceiling_share=None if ceiling is None else ceiling / 1000,
                weight=draw(st.sampled_from((1.0, 2.0, 0.25, 7.5, 1e-3))),
                notice_s=draw(st.sampled_from((0, 120, 600))),
                minimum_run_s=draw(st.sampled_from((0, 300, 90_000))),
                residency=draw(st.sampled_from(((), ("NO",), ("Mars",)))),
            )

    place(None, 900, 450, 0)
    return Scenario(run=Run(days=1), site=Site(grid_mw=100.0, fleet=fleet), tenants=tenants)
