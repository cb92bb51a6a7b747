"""What-ifs asked of a living site in the process of the test."""

from __future__ import annotations

from types import SimpleNamespace

from kvandal.control.whatif.answering import Answerer
from kvandal.control.whatif.asked import Question
from kvandal.control.whatif.live import LiveWhatIf, Taken


class Asked:
    """Asks what-ifs of a living site in this process, from its loop or from its store."""

    def __init__(self, living, *, led=True, simulated=False):
        self.living = living

        def take():
            site = living.loop.site
            return Taken(living.loop.number, site.now_s, site.document, *site.forked()) if led else None

        process = SimpleNamespace(ask=self.compute, close=lambda: None)
        self.answerer = Answerer()
        self.live = LiveWhatIf(living.store, take, simulated=simulated, process=process)

    def compute(self, standing, question):
        return self.answerer.answer(standing, question)

    def __call__(self, changes=None, grants=(), envelope_mw=None, days=0.5, seeds=3):
        return self.live(
            changes=changes or {}, grants=grants, envelope_mw=envelope_mw, days=days, seeds=seeds
        )

    def standing(self, changes=None, grants=(), envelope_mw=None, days=0.5):
        return self.live.standing(Question(changes or {}, grants, envelope_mw, days))
