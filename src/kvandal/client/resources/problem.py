"""What went wrong, as RFC 9457 has it (application/problem+json)."""

from __future__ import annotations

from typing import Any

from pydantic import Field

from kvandal.client.resources.base import Told


class FieldError(Told):
    """One field of a request that is not right.

    Attributes
    ----------
    field : where it stands, dotted: ``body.gpus``, ``query.limit``, ``header.Idempotency-Key``
    value : what was given; None where it was left out
    allowed : what would be right
    message : the same as a sentence

    """

    field: str
    value: Any = None
    allowed: str = ""
    message: str


class Problem(Told):
    """Why a request was not answered as asked.

    Attributes
    ----------
    type : what kind of problem, stable: ``urn:kvandal:problem:not-found``
    title : the same in words
    status : the status of HTTP
    detail : what happened this time and what would be right
    instance : the path that was asked for
    request_id : by which the operators find the request in their log
    errors : fields that are at fault

    """

    type: str = "about:blank"
    title: str
    status: int
    detail: str = ""
    instance: str = ""
    request_id: str = ""
    errors: list[FieldError] = Field(default_factory=list)
