"""What the Norwegian data-centre regulation (FOR-2024-12-18-3313, in force 1 January 2025) asks operators to register with Nkom."""

from __future__ import annotations

from kvandal.ledger.forms.lines import Line, Source, given

PART = "Registration with Nkom"
LIMIT_MW = 0.5


def nkom_lines(source: Source) -> list[Line]:
    """All data of the registration."""
    known, site = source.scenario.registration, source.scenario.site
    start = known.commissioned_utc.date().isoformat() if known.commissioned_utc else None
    number = known.organisation_number or known.foreign_register
    asked = "must register" if site.grid_mw >= LIMIT_MW else "must register if it sells its services"
    return [
        Line(PART, "scope", "Whether it must register", asked, "", "derived", "connection", f"who sells services of a data centre, and who subscribes to {LIMIT_MW:g} MW or more; before operation starts"),
        given(PART, "operator", "Name of the operator", known.operator),
        given(PART, "organisation number", "Norwegian organisation number, or legal form, register and number elsewhere in the EEA", number, key="registration.organisation_number or foreign_register"),
        given(PART, "operator address", "Address in Norway, or of the head office in the EEA and of a branch", known.operator_address),
        given(PART, "web address", "Web address", known.web_address),
        given(PART, "site", "Data centre", site.title, key="site.title"),
        given(PART, "address", "Where the data centre lies", known.address),
        given(PART, "representative", "Contact details of a representative who is present and may act for the operator", known.representative),
        given(PART, "services", "Services offered", known.services),
        given(PART, "public sector", "Customers among authorities and bodies of state, counties and municipalities", known.public_sector_customers),
        given(PART, "crypto", "Estimated share of the power that goes to mining of crypto assets", known.crypto_mining_fraction, "1"),
        given(PART, "power", "Subscribed electrical power", site.grid_mw, "MW", key="site.grid_mw"),
        given(PART, "start", "Expected start of operation", start),
    ]  # fmt: skip
