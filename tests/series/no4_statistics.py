"""Statistics by which the generated prices are compared with real years of NO4.

``python tests/series/no4_statistics.py SHARED_DATA`` prints the table of docs/series.md.
"""

import sys
from datetime import UTC, datetime
from pathlib import Path

import numpy as np
import polars as pl

from kvandal.energy.price_generator import prices_eur_per_mwh
from kvandal.scenario.market import Market

SEEDS = range(1, 41)
FILES = ("dayahead_no1-no5_2020-2022.parquet", "dayahead_nordic_gb_2025-01_2026-01.parquet")
STATISTICS = {
    "mean [EUR/MWh]": ".1f",
    "median [EUR/MWh]": ".1f",
    "share below 1 EUR": ".3f",
    "share below 0 EUR": ".4f",
    "share above 120 EUR": ".4f",
    "smallest [EUR/MWh]": ".0f",
    "largest [EUR/MWh]": ".0f",
    "std of log daily mean": ".2f",
    "std of its daily change": ".2f",
    "correlation of log price at 24 h": ".2f",
    "correlation of price at 24 h": ".2f",
    "std of log price in a day": ".2f",
}


def statistics(eur_per_mwh):
    """All statistics of one year; logarithms of max(price, 1 EUR/MWh)."""
    price = np.asarray(eur_per_mwh)[: len(eur_per_mwh) // 24 * 24]
    log_price = np.log(np.maximum(price, 1))
    daily = np.log(np.maximum(price.reshape(-1, 24).mean(axis=1), 1))
    by_day = log_price.reshape(-1, 24)
    values = (
        price.mean(),
        np.median(price),
        (price < 1).mean(),
        (price < 0).mean(),
        (price > 120).mean(),
        price.min(),
        price.max(),
        daily.std(),
        np.diff(daily).std(),
        np.corrcoef(log_price[:-24], log_price[24:])[0, 1],
        np.corrcoef(price[:-24], price[24:])[0, 1],
        (by_day - by_day.mean(axis=1, keepdims=True)).std(),
    )
    return dict(zip(STATISTICS, map(float, values), strict=True))


def generated(seeds=SEEDS):
    mean = Market().spot_mean_eur_per_mwh
    return [
        statistics(prices_eur_per_mwh(datetime(2027, 1, 1, tzinfo=UTC), 8760, mean, seed)) for seed in seeds
    ]


def real(shared_data):
    """Statistics of NO4 in 2020, 2021, 2022 (local years) and in the year from 2025-01-24."""
    prices = {}
    for file in FILES:
        frame = pl.read_parquet(shared_data / "unclear-licence/prices" / file)
        local = pl.col("time_utc").dt.convert_time_zone("Europe/Oslo")
        for year in (2020, 2021, 2022) if "2020" in file else (2025,):
            days = frame if year == 2025 else frame.filter(local.dt.year() == year)
            prices[year] = statistics(days["NO4_eur_per_mwh"].to_numpy())
    return prices


def generator_row(name, years):
    """One row of the documentation: mean over the seeds and the range of the middle 90 %."""
    values = [year[name] for year in years]
    low, high = np.percentile(values, [5, 95])
    form = STATISTICS[name]
    return f"{np.mean(values):{form}} | {low:{form}} to {high:{form}}"


def table(shared_data):
    years, found = generated(), real(shared_data)
    lines = [
        f"| statistic | generator | 90 % of seeds | {' | '.join(map(str, found))} |",
        "|---|---|---|---|---|---|---|",
    ]
    for name, form in STATISTICS.items():
        measured = " | ".join(f"{year[name]:{form}}" for year in found.values())
        lines.append(f"| {name} | {generator_row(name, years)} | {measured} |")
    return "\n".join(lines)


if __name__ == "__main__":
    print(table(Path(sys.argv[1])))
