"""What makes a worker the one of the join: its topics, checked; its core, its codec and its stores."""

from __future__ import annotations

from collections.abc import Mapping, Sequence

from confluent_kafka.admin import AdminClient

from stream_monitor.codecs import records_max
from stream_monitor.codecs.labels import JoinCodec
from stream_monitor.config import Config
from stream_monitor.events import Source
from stream_monitor.join.joins import Joins
from stream_monitor.join.store import Position, history_ms
from stream_monitor.metrics import Metrics
from stream_monitor.runtime.catching_up import CatchingUp
from stream_monitor.runtime.copies import as_copied
from stream_monitor.runtime.decoding import Decoding, mapped
from stream_monitor.runtime.input_topics import Topics, check_counts, check_retention, check_there, labels_of
from stream_monitor.runtime.inputs import Inputs
from stream_monitor.runtime.kafka import CONSUME_MAX, reader_properties
from stream_monitor.runtime.members import Member
from stream_monitor.runtime.placement import check_placement
from stream_monitor.runtime.positions import Owned
from stream_monitor.runtime.store import RocksStores
from stream_monitor.runtime.stores import JoinStores
from stream_monitor.runtime.task import Task
from stream_monitor.runtime.watch import Watch

ROWS_MAX = 200_000
"""Of which the elements stay in memory until the commit, about 1 kB each."""
REREAD_FACTOR = 2
"""So many times as much as else is read at a time where nothing is to be sent."""


def join_parts(
    config: Config, admin: AdminClient, member: Member, metrics: Metrics, *, topic_ids: bool
) -> tuple[Task, Inputs]:
    """StreamMonitorError where the topics cannot be joined, or not for the whole of the horizon."""
    config = as_copied(config)
    labels = labels_of(config)
    topics = Topics(config.joined("predictions"), config.joined("labels"))
    watch = Watch(admin, topics.all, topic_ids=topic_ids)
    facts = watch.facts()
    check_there(topics, facts.missing)
    check_counts(topics, facts.topics)
    check_retention(admin, topics, labels.horizon_ms)
    check_placement(config)
    joins, codec = Joins(config), JoinCodec(config)
    # The id of a tombstone is its key.
    places = ["key", *mapped(config.predictions.fields), *mapped(labels.fields)]
    decoding = Decoding(codec.decode, places)
    inputs = Inputs(config, topics, member, watch, joins.clocks, metrics)
    history = history_ms(labels) + config.predictions.max_clock_skew_ms
    properties, most = reader_properties(config), REREAD_FACTOR * min(CONSUME_MAX, records_max(config))

    def catching_up(owned: Sequence[Owned], positions: Mapping[Source, Position]) -> CatchingUp:
        return CatchingUp(owned, positions, joins, decoding, properties, history, most, metrics)

    stores = JoinStores(inputs, joins, RocksStores(config), catching_up, metrics)
    return Task("join", decoding, joins, stores, ROWS_MAX), inputs
