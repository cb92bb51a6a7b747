"""Errors of a client.

Hierarchy::

    KvandalError
    └── ClientError              a server did not do as it was asked
        ├── UnreachableError     nobody answers there, or not now; asking again may help
        ├── NotSignedInError     the server does not know who asks (401)
        ├── NotAllowedError      who asks may not do this (403)
        ├── NotFoundError        it is not there, or it is none of the caller's business (404)
        └── RefusedError         the server will not do what was asked (all other 4xx, and 5xx)
"""

from __future__ import annotations

from kvandal.client.resources.problem import FieldError, Problem
from kvandal.errors import KvandalError


class ClientError(KvandalError):
    """A server did not do as it was asked.

    Attributes
    ----------
    status : of HTTP; None: there was no answer
    problem : what the server told; None: nothing that is a problem

    """

    def __init__(self, message: str, *, status: int | None = None, problem: Problem | None = None) -> None:
        self.status, self.problem = status, problem
        super().__init__(message)

    @property
    def errors(self) -> list[FieldError]:
        """Fields at fault, each with its value and what is allowed."""
        return [] if self.problem is None else self.problem.errors


class UnreachableError(ClientError):
    """Nobody answers there, or not now."""


class NotSignedInError(ClientError):
    """The server does not know who asks."""


class NotAllowedError(ClientError):
    """Who asks may not do this."""


class NotFoundError(ClientError):
    """It is not there, or it is none of the caller's business."""


class RefusedError(ClientError):
    """The server will not do what was asked."""


KINDS: dict[int, type[ClientError]] = {401: NotSignedInError, 403: NotAllowedError, 404: NotFoundError}
