"""Logs: events with fields, one JSON object a line or lines for people; what must stay secret is blotted out."""

from __future__ import annotations

import logging
import re
import sys
from collections.abc import Mapping, MutableMapping
from functools import lru_cache
from typing import Any, TextIO

import orjson
import structlog
from structlog.typing import EventDict, Processor

BLOT = "***"
SECRET_NAMES = re.compile(
    r"pass(word|wd|phrase)?$|secret|token$|^token|cookie|authori[sz]ation|api_?key|private_?key|session_?(key|id)|csrf|"
    r"client_assertion|code_verifier|^code$|credential",
    re.IGNORECASE,
)
"""Fields whose value is never written."""
HARMLESS = frozenset(
    {"token_id", "token_file", "client_secret_file", "database_password_file", "csrf_failed"}
)
SECRET_TEXTS = (
    (re.compile(r"(?i)\b(bearer|basic)\s+[a-z0-9._~+/=-]{6,}"), r"\1 ***"),
    (re.compile(r"\bkvd_[A-Za-z0-9_-]+"), "kvd_***"),  # tokens of the product
    (re.compile(r"\beyJ[A-Za-z0-9_-]{8,}\.[A-Za-z0-9_-]+\.[A-Za-z0-9_-]*"), "***"),  # JSON Web Tokens
    (re.compile(r"://([^/\s:@]+):[^/\s@]+@"), r"://\1:***@"),
    (
        re.compile(r"(?i)\b(password|client_secret|access_token|refresh_token|id_token|code)=[^&\s\"']+"),
        r"\1=***",
    ),
)
"""Secrets inside of texts, and what is written instead."""
SUSPECT = re.compile(r"bearer|basic|kvd_|eyj|://|(?:password|secret|token|code)=", re.IGNORECASE)
"""Found in every text in which one of them could be; most texts are passed by one look."""
QUIET = {
    "uvicorn.access": logging.CRITICAL,
    "httpx": logging.WARNING,
    "httpcore": logging.WARNING,
    "alembic": logging.WARNING,
}
"""Libraries that would tell too much: requests are logged once, by the service itself."""


def blotted(_logger: Any, _method: str, event: EventDict) -> EventDict:
    """Blot out what must stay secret, by the name of its field or by its shape.

    >>> blotted(None, "", {"event": "GET /x?code=abc", "password": "hush", "who": "ada"})
    {'event': 'GET /x?code=***', 'password': '***', 'who': 'ada'}
    """
    for key, value in event.items():
        event[key] = _blot(key, value)
    return event


@lru_cache(1024)
def _is_secret(name: str) -> bool:
    return name not in HARMLESS and SECRET_NAMES.search(name) is not None


def _blot(key: str, value: Any) -> Any:
    if _is_secret(key) and value is not None and value != "":
        return BLOT
    if isinstance(value, str):
        if SUSPECT.search(value):
            for shape, instead in SECRET_TEXTS:
                value = shape.sub(instead, value)
        return value
    if isinstance(value, Mapping):
        return {str(name): _blot(str(name), one) for name, one in value.items()}
    if isinstance(value, list | tuple):
        return [_blot(key, one) for one in value]
    return value


def _json(event: MutableMapping[str, Any], **_: Any) -> str:
    return orjson.dumps(event, default=repr, option=orjson.OPT_NON_STR_KEYS | orjson.OPT_UTC_Z).decode()


def configure_logs(level: str = "info", form: str = "auto", stream: TextIO | None = None) -> None:
    """Set up the logs of this program, its own and those of its libraries.

    Parameters
    ----------
    level : debug, info, warning or error
    form : json, console, or auto: console on a terminal
    stream : where they go; None: standard error

    """
    out = stream or sys.stderr
    least = getattr(logging, level.upper())
    for_people = form == "console" or (form == "auto" and out.isatty())
    first: list[Processor] = [
        structlog.contextvars.merge_contextvars,
        structlog.processors.add_log_level,
        structlog.processors.TimeStamper(fmt="iso", utc=True, key="at_utc"),
        structlog.processors.StackInfoRenderer(),
    ]
    last: list[Processor] = [
        structlog.processors.format_exc_info,  # before blotting; a prettier traceback would show local variables
        blotted,
        structlog.dev.ConsoleRenderer(colors=out.isatty(), exception_formatter=structlog.dev.plain_traceback)
        if for_people
        else structlog.processors.JSONRenderer(serializer=_json),
    ]
    structlog.configure(
        processors=[*first, *last],
        wrapper_class=structlog.make_filtering_bound_logger(least),
        logger_factory=structlog.PrintLoggerFactory(out),
        cache_logger_on_first_use=False,
    )
    formatter = structlog.stdlib.ProcessorFormatter(
        foreign_pre_chain=[*first, structlog.stdlib.add_logger_name, structlog.stdlib.ExtraAdder()],
        processors=[structlog.stdlib.ProcessorFormatter.remove_processors_meta, _without_colour, *last],
    )
    handler = logging.StreamHandler(out)
    handler.setFormatter(formatter)
    root = logging.getLogger()
    root.handlers = [handler]
    root.setLevel(least)
    for name in ("uvicorn", "uvicorn.error", "uvicorn.access"):
        logging.getLogger(name).handlers = []
        logging.getLogger(name).propagate = True
    for name, quiet in QUIET.items():
        logging.getLogger(name).setLevel(max(quiet, least))


def _without_colour(_logger: Any, _method: str, event: EventDict) -> EventDict:
    event.pop("color_message", None)
    return event
