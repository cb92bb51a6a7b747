"""The rules of the access office, by id. Every gate, step and refusal names the rule behind it."""

from __future__ import annotations

from typing import Any

from kvandal.errors import InputError

GATES: dict[str, str] = {
    "OG1": "The organisation's number is valid in its register, or a person of the office has confirmed it.",
    "OG2": "The kind of organisation and its country fit the tenant whose share it asks for.",
    "OG3": "Startups and small enterprises have fewer than 250 staff, at most EUR 50 million of turnover, and control from the EEA.",
    "OG4": "Nobody involved is under sanctions or export control: declared, and the country is not a sanctioned one.",
    "OG5": "The work is for civil purposes and uses no practice that Article 5 of the AI Act prohibits: declared.",
    "OG6": "No currencies are mined: declared.",
    "OG7": "The site lies where the data may be processed.",
    "OG8": "A principal investigator of the organisation is named, and the beneficial owner of an enterprise is.",
    "OG9": "A price below the list price is lawful: no aid, de minimis aid within EUR 300,000 in three years, or an exemption that the office confirms.",
    "OG10": "GPU-hours and months stay within the rung of the ladder.",
    "OG11": "From the innovator rung on an earlier award that was used, or evidence that the office confirms, proves feasibility.",
    "OG12": "A project has one open application on a rung.",
    "OG13": "The call takes applications for the rung and the tenant, and its budget has room.",
    "OG14": "No report of the project is overdue.",
    "OG15": "The tenant could use the hours within the term: they fit under its ceiling of GPUs.",
    "OG16": "A change asks for something, of a grant that is in use and is not over.",
}
"""Gates: what must be true of an application before it can be granted."""
CONFLICTS: dict[str, str] = {
    "OC1": "Whoever belongs to the applying organisation does not judge the application.",
    "OC2": "Whoever applies for, leads or belongs to the project does not judge its application.",
    "OC3": "A co-applicant, or somebody of a co-applicant's organisation, does not judge the application.",
    "OC4": "Whoever has declared a conflict of interest does not judge the application.",
    "OC5": "Whoever reviewed an application or decided on it first does not decide on the appeal.",
}
"""Conflicts of interest: they hide the application from somebody, and bar its judgement."""
STEPS: dict[str, str] = {
    "OS1": "A draft is changed and handed in by its applicant, while its call is open.",
    "OS2": "Gates are checked once when an application is handed in, and again when it is decided; one that fails rejects it.",
    "OS3": "Where a gate needs a person, an allocator confirms or denies it; nothing else opens it.",
    "OS4": "An application that cannot be judged as it stands goes back to its applicant before it is decided.",
    "OS5": "A review is written by a reviewer, once for each part, while the application is in that part of its review.",
    "OS6": "A review part is over when as many reviews count as the rung asks for.",
    "OS7": "A reviewer who is recused is recorded, and his reviews are set aside.",
    "OS8": "Who decides has been shown what granting it would do to everybody, for the hours granted, not too long before.",
    "OS9": "A decision comes after all reviews, by an allocator, and in a call with a closing date after that date.",
    "OS10": "A grant needs every gate passed when it is decided, and gives no more than was asked for.",
    "OS11": "A playground application whose gates are all passed is granted by the office at once.",
    "OS12": "An applicant may withdraw an application until it is decided.",
    "OS13": "A rejection may be appealed once, within three weeks.",
    "OS14": "What is not a step of the present state is refused.",
    "OS15": "A change that only adds people needs no look at the consequences.",
}
"""Steps of an application."""
USE: dict[str, str] = {
    "OU1": "A grant becomes active at its start.",
    "OU2": "Use it or lose it: below 60 % used after two thirds of the term, half of the unused hours is returned.",
    "OU3": "The project is reminded before its grant ends, and before its report is due.",
    "OU4": "At the end of its term, or when the office ends it early, nothing more starts on a grant, and its report is due.",
    "OU5": "A report is written by somebody of the project, when it is due; late reports are taken, too.",
    "OU6": "The office may send a report back until its file is closed.",
    "OU7": "Some time after its report the file of a grant is closed: it has expired.",
    "OU8": "A change that was granted adds its hours, months and people to the grant.",
    "OU9": "Only an allocator ends a grant early, and says why.",
}
"""Life of a grant."""
RULES: dict[str, str] = GATES | CONFLICTS | STEPS | USE


class RefusedByRule(InputError):  # noqa: N818  (says what happened, as the other errors of a rule would)
    """Something that a rule of the office does not allow.

    Parameters
    ----------
    rule
        Id of the rule.
    what
        What happened this time, with the numbers.
    numbers
        The same to reckon with.

    Examples
    --------
    >>> print(RefusedByRule("OG6", "not declared"))
    not declared (OG6: No currencies are mined: declared.)

    """

    def __init__(self, rule: str, what: str, **numbers: Any) -> None:
        self.rule, self.what, self.numbers = rule, what, numbers
        super().__init__(f"{what} ({rule}: {RULES[rule]})")


class NotThereError(InputError):
    """Something that is not there, or that is none of the caller's business."""


class NotAllowedError(InputError):
    """Something that the caller's roles do not allow."""
