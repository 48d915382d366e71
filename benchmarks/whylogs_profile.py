"""The contender ``whylogs``, in an environment of its own: ``python -m benchmarks.whylogs_profile SETTINGS``.

A profile of each second of rows, from a DataFrame that is made before the clock runs. Writes a Run.
"""

from __future__ import annotations

import json
import sys

import pandas as pd
import whylogs  # type: ignore[import-not-found]  # not in our environment

from benchmarks.flat_rows import tables
from benchmarks.runs import Mark, Run, print_run


def profile(*, events: int) -> Run:
    frames = [pd.DataFrame(rows) for rows in tables(events)]
    size, mark = 0, Mark.now()
    for frame in frames:
        size += len(whylogs.log(frame).view().serialize())
    return mark.until_now("whylogs", events, bytes=size)


if __name__ == "__main__":
    print_run(profile(**json.loads(sys.argv[1])))
