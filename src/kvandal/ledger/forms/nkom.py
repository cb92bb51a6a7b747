"""What the Norwegian data-centre regulation (in force 1 January 2025) asks operators to register with Nkom."""

from __future__ import annotations

from kvandal.ledger.forms.lines import Line, Source, given

PART = "Registration with Nkom"


def nkom_lines(source: Source) -> list[Line]:
    """All data of the registration."""
    known, site = source.scenario.registration, source.scenario.site
    start = known.commissioned_utc.date().isoformat() if known.commissioned_utc else None
    return [
        given(PART, "operator", "Name of the operator", known.operator),
        given(PART, "organisation number", "Organisation number", known.organisation_number),
        given(PART, "address", "Address", known.address),
        given(PART, "site", "Data centre", site.title),
        given(PART, "representative", "Representative in the EEA", known.representative),
        given(PART, "contact", "Contact", known.contact),
        given(PART, "services", "Services", known.services),
        given(PART, "public sector", "Customers of the public sector", known.public_sector_customers),
        given(
            PART, "crypto", "Estimated share of mining of crypto assets", known.crypto_mining_fraction, "1"
        ),
        Line(
            PART,
            "power",
            "Subscribed electrical power",
            site.grid_mw,
            "MW",
            "given",
            "connection",
            "site.grid_mw",
        ),
        given(PART, "start", "Start of operation", start),
    ]
