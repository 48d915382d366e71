"""A flush that cannot be trusted, as a finding: something between observe and decide was lost or doubled."""

from __future__ import annotations

from stream_monitor.events import Finding, Flush, Level
from stream_monitor.watermark import Ledger, Verdict


def ledger_finding(verdict: Verdict, flush: Flush, ledger: Ledger) -> Finding:
    """Names the first source partition that does not go on where it stood, with both offsets."""
    one = flush.progress[0]
    for candidate in flush.progress:
        known = ledger.sources.get(candidate.source)
        if known is not None and candidate.first != known.next:
            one = candidate
            break
    stood = ledger.sources[one.source].next if one.source in ledger.sources else one.first
    rows = sum(delta.rows for delta in flush.deltas)
    if stood != one.first:
        before, after = Level(0, stood), Level(one.rows, one.first)
    else:
        before, after = Level(flush.announced_rows, flush.announced_deltas), Level(rows, len(flush.deltas))
    time = max((each.clock for each in flush.progress if each.clock is not None), default=0)
    return Finding(
        check="ledger",
        signal=f"{one.source.topic}[{one.source.partition}]",
        score=verdict.value,
        unit="offset" if stood != one.first else "deltas",
        since=time,
        earliest=time,
        latest=time,
        found=time,
        before=before,
        after=after,
        effect=after.score - before.score,
        dead=0.0,
        detector="ledger",
        statistic=after.score,
        threshold=before.score,
    )
