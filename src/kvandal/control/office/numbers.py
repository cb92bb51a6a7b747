"""Numbers of organisations, checked by the rules of the register that gave them."""

from __future__ import annotations

import re
from dataclasses import dataclass
from importlib import import_module
from typing import Any, Literal

from kvandal.errors import InputError

REGISTERS: dict[str, tuple[str, str]] = {
    "NO": ("stdnum.no.orgnr", "Brønnøysundregistrene"),
    "SE": ("stdnum.se.orgnr", "Bolagsverket"),
    "DK": ("stdnum.dk.cvr", "Det Centrale Virksomhedsregister"),
    "FI": ("stdnum.fi.ytunnus", "Yritys- ja yhteisötietojärjestelmä"),
    "IS": ("stdnum.is_.kennitala", "Fyrirtækjaskrá"),
    "EE": ("stdnum.ee.registrikood", "Äriregister"),
    "LV": ("stdnum.lv.pvn", "Uzņēmumu reģistrs"),
    "PL": ("stdnum.pl.nip", "Krajowa Ewidencja Podatników"),
    "FR": ("stdnum.fr.siren", "Sirene"),
    "BE": ("stdnum.be.vat", "Kruispuntbank van Ondernemingen"),
    "AT": ("stdnum.at.businessid", "Firmenbuch"),
}
"""By country: the module of python-stdnum that knows the check digits, and the register."""
COMPANIES_HOUSE = re.compile(r"(\d{8}|[A-Z]{2}\d{6}|[A-Z]{2}\d{5}[A-Z])")
"""Numbers of the British register have a form but no check digit (England and Wales: eight digits; SC, NI, OC, RC, ...)."""


@dataclass(frozen=True, slots=True)
class CheckedNumber:
    """A number without spaces, whether its check digits were looked at, and its register."""

    number: str
    check: Literal["valid", "unchecked"]
    register_name: str


def checked_number(country: str, number: str) -> CheckedNumber:
    """Check the number of an organisation.

    Parameters
    ----------
    country
        ISO 3166-1 alpha-2.
    number
        As somebody wrote it.

    Raises
    ------
    InputError
        If it cannot be a number of that country's register.

    Examples
    --------
    >>> checked_number("NO", "923 609 016").number
    '923609016'

    """
    if country in REGISTERS:
        module_name, register_name = REGISTERS[country]
        module: Any = import_module(module_name)
        try:
            return CheckedNumber(str(module.validate(number)), "valid", register_name)
        except Exception as error:  # stdnum's own errors have no common base that is typed
            if type(error).__module__ != "stdnum.exceptions":
                raise
            raise InputError(
                f"must be a number of {register_name} ({country}) with right check digits, got {number!r}: "
                f"{str(error).rstrip('.').lower()}",
                key="number",
            ) from None
    compact = re.sub(r"[\s.\-/]", "", number).upper()
    if country == "GB":
        if not COMPANIES_HOUSE.fullmatch(compact):
            raise InputError(
                f"must be a number of Companies House, eight digits or two letters and six digits, got {number!r}",
                key="number",
            )
        return CheckedNumber(compact, "unchecked", "Companies House")
    if not compact or not compact.isalnum():
        raise InputError(f"must hold letters and digits, got {number!r}", key="number")
    return CheckedNumber(compact, "unchecked", "")
