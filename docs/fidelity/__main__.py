"""Write docs/fidelity.md and its figures: ``make fidelity``, or ``python -m fidelity`` in the folder docs."""

from __future__ import annotations

import logging
import time

from fidelity.page import GROUPS, IMAGES, PAGE, on_page, page, prose, section_of, table
from fidelity.row import DataMissingError


def main() -> None:
    """Compute every part; keep what needs data that is not here."""
    logging.disable(logging.WARNING)
    IMAGES.mkdir(parents=True, exist_ok=True)
    tables, texts = [], []
    for name in GROUPS:
        start = time.perf_counter()
        try:
            section = section_of(name)
        except DataMissingError as error:
            lines, text = on_page(name, PAGE.read_text(encoding="utf-8"))
            print(f"{name:12} kept as it was: {error}")
        else:
            lines, text = table(name, section), prose(name, section)
            (IMAGES / f"{section.figure.name}.svg").write_text(section.figure.svg(), encoding="utf-8")
            print(f"{name:12} {len(section.rows)} rows, {time.perf_counter() - start:5.1f} s")
        tables.append(lines)
        texts.append(text)
    PAGE.write_text(page(tables, texts), encoding="utf-8")
    print(f"wrote {PAGE}")


if __name__ == "__main__":
    main()
