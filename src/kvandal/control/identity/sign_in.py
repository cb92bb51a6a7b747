"""Signing in: begun with a secret of this browser, finished once with what the provider tells."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from datetime import datetime, timedelta
from typing import Any

from sqlalchemy import RowMapping, delete, insert, select

from kvandal.control.identity.kept_secrets import digest, new_secret, same
from kvandal.control.identity.people import fault_of, person_signed_in, roles_from
from kvandal.control.identity.permissions import GIVEN, Role
from kvandal.control.identity.principal import RoleGrant
from kvandal.control.identity.provider import Provider, ProviderUnavailableError, SignInRefusedError
from kvandal.control.identity.sessions import begin_session, end_session
from kvandal.control.settings import OidcSettings
from kvandal.control.store.audit import record
from kvandal.control.store.database import Store
from kvandal.control.store.tables.identity import SIGN_INS
from kvandal.errors import SettingsError

TIME_TO_SIGN_IN = timedelta(minutes=10)
LONGEST_TEXT = 200
"""Names and addresses of people are cut to this [characters]."""


@dataclass(frozen=True, slots=True)
class Begun:
    """A sign-in that was begun."""

    url: str
    """Of the provider, where it goes on."""
    browser: str
    """What the browser holds until it comes back."""


@dataclass(frozen=True, slots=True)
class Finished:
    """A sign-in that held."""

    person: str
    session: str
    """What the browser holds from now on."""
    return_to: str


def local_path(path: str | None) -> str:
    """Return a path of this site, the first page where it is not one.

    >>> local_path("/jobs?state=queued"), local_path("//evil.example"), local_path("https://evil.example")
    ('/jobs?state=queued', '/', '/')
    """
    if (
        not path
        or not path.startswith("/")
        or path.startswith(("//", "/\\"))
        or len(path) > 2000
        or any(ord(letter) <= 32 or ord(letter) > 126 or letter == "\\" for letter in path)
    ):
        return "/"
    return path


def begin(store: Store, provider: Provider, return_to: str | None, now: datetime) -> Begun:
    """Begin a sign-in: state, nonce and the verifier of PKCE are kept here, the browser holds a secret of its own.

    Raises
    ------
    ProviderUnavailableError
        If the provider cannot be reached.

    """
    state, nonce, verifier, browser = (new_secret() for _ in range(4))
    url = provider.authorization_url(state=state, nonce=nonce, verifier=verifier)
    with store.begin() as tx:
        tx.execute(delete(SIGN_INS).where(SIGN_INS.c.expires_utc <= now))
        tx.execute(
            insert(SIGN_INS).values(
                state=digest(state),
                browser=digest(browser),
                nonce=nonce,
                verifier=verifier,
                return_to=local_path(return_to),
                expires_utc=now + TIME_TO_SIGN_IN,
            )
        )
    return Begun(url, browser)


def finish(
    store: Store,
    provider: Provider,
    answer: Mapping[str, str],
    *,
    browser: str | None,
    earlier_session: str | None,
    now: datetime,
) -> Finished:
    """Finish a sign-in with what the provider sent the browser back with.

    Parameters
    ----------
    store, provider
        Where it was begun.
    answer
        The query: state, and code or error.
    browser
        What the browser holds since it was begun.
    earlier_session
        A session that this browser has had; it ends.
    now
        The time.

    Raises
    ------
    SignInRefusedError
        If anything of it does not hold.
    ProviderUnavailableError
        If the provider cannot be reached.

    """
    state = answer.get("state", "")
    with store.begin() as tx:
        kept = tx.execute(select(SIGN_INS).where(SIGN_INS.c.state == digest(state))).mappings().first()
        if kept is not None:
            tx.execute(delete(SIGN_INS).where(SIGN_INS.c.state == digest(state)))
    try:
        _refuse_foreign(kept, answer, provider.issuer, browser, now)
        assert kept is not None
        claims = provider.claims(code=answer["code"], verifier=kept["verifier"], nonce=kept["nonce"])
    except SignInRefusedError as error:
        if kept is not None:  # else anybody could fill the trail from outside
            with store.begin() as tx:
                record(tx, "nobody", "sign_in.refuse", provider.issuer, {"reason": str(error)})
        raise
    return _signed_in(store, provider, claims, kept["return_to"], earlier_session, now)


def _refuse_foreign(
    kept: RowMapping | None, answer: Mapping[str, str], issuer: str, browser: str | None, now: datetime
) -> None:
    """Refuse an answer that is not the one to a sign-in which this browser began."""
    if kept is None or kept["expires_utc"] <= now:
        raise SignInRefusedError("this sign-in was not begun here, is over, or took too long: sign in again")
    if browser is None or not same(digest(browser), kept["browser"]):
        raise SignInRefusedError("this sign-in was begun by another browser: sign in again")
    if "error" in answer:
        raise SignInRefusedError(f"the provider refused: {answer['error'][:LONGEST_TEXT]!r}")
    if not answer.get("code"):
        raise SignInRefusedError("the provider sent no code")
    if answer.get("iss", issuer) != issuer:
        raise SignInRefusedError("the answer comes from another provider")


def _signed_in(
    store: Store,
    provider: Provider,
    claims: Mapping[str, Any],
    return_to: str,
    earlier_session: str | None,
    now: datetime,
) -> Finished:
    subject, email = claims["sub"], _text(claims.get("email"))
    name = _text(claims.get("name")) or _text(claims.get("preferred_username")) or email or subject
    refused = None
    with store.begin() as tx:
        person = person_signed_in(
            tx, issuer=provider.issuer, subject=subject, name=name[:LONGEST_TEXT], email=email, now=now
        )
        key = person["id"]
        if person["disabled"]:
            refused = SignInRefusedError(f"{name} is locked out; the operators of the site can tell why")
            record(tx, key, "sign_in.refuse", key, {"reason": "locked out"})
        else:
            groups = roles_of_groups(provider.settings, claims.get(provider.settings.groups_claim))
            roles_from(tx, key, groups, source="provider", now=now)
            first = [RoleGrant(Role.OPERATOR)] if _is_operator(provider.settings, claims) else []
            roles_from(tx, key, first, source="settings", now=now)
            if earlier_session is not None:
                end_session(tx, earlier_session)
            life = timedelta(hours=provider.settings.session_hours)
            session = begin_session(tx, key, now=now, life=life)
            record(tx, key, "sign_in", key, {"issuer": provider.issuer})
    if refused is not None:
        raise refused
    return Finished(key, session, return_to)


def _is_operator(settings: OidcSettings, claims: Mapping[str, Any]) -> bool:
    """Tell whether the settings name somebody, by his subject or by an address that the provider has verified."""
    if claims["sub"] in settings.operators:
        return True
    email = _text(claims.get("email")).casefold()
    return claims.get("email_verified") is True and email in {
        name.casefold() for name in settings.operators if "@" in name
    }


def _text(value: Any) -> str:
    return " ".join(value.split())[:LONGEST_TEXT] if isinstance(value, str) else ""


def role_of_text(text: str) -> RoleGrant:
    """Read a role as settings have it: ``operator``, ``tenant_admin:uk``, ``member:norway/ocean``.

    >>> role_of_text("member:norway/ocean").project
    'ocean'

    Raises
    ------
    ValueError
        If it is none.

    """
    name, _, place = text.partition(":")
    tenant, _, project = place.partition("/")
    allowed = ", ".join(GIVEN)
    try:
        grant = RoleGrant(Role(name.strip()), tenant.strip() or None, project.strip() or None)
    except ValueError:
        raise ValueError(
            f"must be ROLE, ROLE:TENANT or ROLE:TENANT/PROJECT with a role of {allowed}; got {text!r}"
        ) from None
    # Tenants are those of a scenario, which settings do not know: any name passes here.
    fault = fault_of(grant, {grant.tenant} if grant.tenant else {"TENANT"})
    if fault is not None:
        raise ValueError(f"{fault[0]} must be {fault[1]}; got {text!r}")
    return grant


def roles_of_groups(settings: OidcSettings, groups: Any) -> list[RoleGrant]:
    """Return the roles that the provider's groups stand for."""
    names: Sequence[Any] = groups if isinstance(groups, list) else [groups]
    known = [name for name in names if isinstance(name, str) and name in settings.groups]
    return [role_of_text(text) for name in known for text in settings.groups[name]]


def check_groups(settings: OidcSettings) -> None:
    """Refuse settings that give roles which there are not.

    Raises
    ------
    SettingsError
        Names the group and what is allowed.

    """
    for group, texts in settings.groups.items():
        for text in texts:
            try:
                role_of_text(text)
            except ValueError as error:
                raise SettingsError(str(error), key=f"oidc.groups.{group}") from None


__all__ = [
    "Begun",
    "Finished",
    "ProviderUnavailableError",
    "SignInRefusedError",
    "begin",
    "check_groups",
    "finish",
    "local_path",
    "role_of_text",
    "roles_of_groups",
]
