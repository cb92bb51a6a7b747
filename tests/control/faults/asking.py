"""People who go on asking whatever happens to the server, and remember what they were promised."""

from __future__ import annotations

import http.client
import random
import threading
import time
from collections import Counter

from servers import Caller, new_key

OWN = ("anchor", "startups", "research")
BORROWERS = ("abroad", "nordics")
NODES = [f"r{rack + 1:04d}n{tray + 1:02d}" for rack in range(2) for tray in range(18)]
ANYTHING = (OSError, http.client.HTTPException)


class ServerGoneError(Exception):
    """Nobody waits for the server any longer."""


class Person(threading.Thread):
    """Submits, cancels, sets and drains, one thing after the other; what got no answer is sent again with its key.

    Attributes
    ----------
    jobs : ids of the jobs that were accepted, by the keys of the requests
    cancelled : ids of jobs whose cancellation was accepted
    outcomes : how requests went: answered, unknown (no answer came), unavailable, again (a second answer to one key)
    wrong : what must not be

    """

    def __init__(self, server, seed, pause_s=0.05):
        super().__init__(name=f"person {seed}", daemon=True)
        self.caller, self.random, self.pause_s = Caller(server), random.Random(seed), pause_s  # noqa: S311
        self.jobs, self.cancelled, self.outcomes, self.wrong = {}, set(), Counter(), []
        self.enough, self.given_up = threading.Event(), threading.Event()

    def run(self):
        try:
            while not self.enough.is_set():
                self._do_something()
                time.sleep(self.random.random() * self.pause_s)
        except ServerGoneError:
            pass
        except Exception as error:  # noqa: BLE001  (told by who looks at `wrong`)
            self.wrong.append(repr(error))
        finally:
            self.caller.close()

    def stop(self):
        self.enough.set()
        self.join()

    def give_up(self):
        """Stop without the last answer."""
        self.given_up.set()
        self.stop()

    def _do_something(self):
        draw = self.random.random()
        if draw < 0.75 or not self.jobs:
            self.submit()
        elif draw < 0.9:
            job = self.random.choice(list(self.jobs.values()))
            answer = self.insist("POST", f"/v1/jobs/{job}/cancel", {"reason": "not needed"})
            if answer.status == 202:
                self.cancelled.add(job)
            self._expect(answer, 202, 409)
        elif draw < 0.95:
            value = self.random.choice([0.15, 0.2, 1000.0])
            answer = self.insist("PUT", "/v1/set-points/envelope_mw", {"value": value, "reason": "grid"})
            self._expect(answer, 200)
        else:
            reason = self.random.choice(["leak", None])
            node = self.random.choice(NODES[:6])
            path = f"/v1/nodes/{node}/drain" if reason else f"/v1/nodes/{node}/undrain"
            self._expect(self.insist("POST", path, {"reason": reason or "mended"}), 200, 202, 409)

    def submit(self):
        """Submit a job that is drawn, and sometimes ask again with the same key."""
        lent = self.random.random() < 0.3
        run_time_s = self.random.randrange(200, 600) if lent else self.random.randrange(20, 200)
        body = {
            "tenant": self.random.choice(BORROWERS if lent else OWN), "project": "p", "demand": "batch",
            "gpus": self.random.choice([8, 16, 24] if lent else [1, 4, 8, 24]), "run_time_s": run_time_s,
            "limit_s": max(60, run_time_s + self.random.choice([-20, 60])),
        }  # fmt: skip
        body["run_time_s"] = min(run_time_s, body["limit_s"])
        key = new_key()
        answer = self.insist("POST", "/v1/jobs", body, key)
        self._expect(answer, 201)
        job = self.jobs[key] = answer.json["id"]
        if self.random.random() < 0.2:
            again = self.insist("POST", "/v1/jobs", body, key)
            self.outcomes["again"] += 1
            if again.json.get("id") != job or again.headers["idempotency-replayed"] != "true":
                self.wrong.append(("another answer to the same key", again.json))

    def insist(self, method, path, body, key=None):
        """Send until an answer comes that says what happened."""
        key = key or new_key()
        while not self.given_up.is_set():
            try:
                answer = self.caller.ask(method, path, body, key)
            except ANYTHING:
                self.outcomes["unknown"] += 1
            else:
                if answer.status != 503:
                    self.outcomes["answered"] += 1
                    return answer
                self.outcomes["unavailable"] += 1
            time.sleep(0.01)
        raise ServerGoneError

    def _expect(self, answer, *statuses):
        if answer.status not in statuses:
            self.wrong.append((answer.status, answer.json))
