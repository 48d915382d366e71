"""Flights and landings to Kafka, as they would have come: the id as key, the event's time as the record's.

    python -m examples.flights.produce --bootstrap localhost:9092 --file flights/predictions.jsonl \
        --labels flights/labels.jsonl

creates the topics if they are not there. Their records are years old, so they are created to keep them for
ever: with Kafka's default retention of a week the broker would delete them at its next clean-up.
"""

from __future__ import annotations

import argparse
from pathlib import Path

import orjson
from confluent_kafka import Producer
from confluent_kafka.admin import AdminClient, NewTopic

TIMEOUT_S = 30.0


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawTextHelpFormatter)
    parser.add_argument("--bootstrap", required=True, metavar="HOST:PORT")
    parser.add_argument(
        "--file", type=Path, required=True, help="JSON lines, as examples.flights.make writes them"
    )
    parser.add_argument("--labels", type=Path, help="theirs, in the same form")
    parser.add_argument("--topic", default="flights")
    parser.add_argument("--labels-topic", default="flights.labels")
    parser.add_argument("--partitions", type=int, default=4, help="of each topic, when it is created")
    args = parser.parse_args()
    for topic, file in ((args.topic, args.file), (args.labels_topic, args.labels)):
        create_topic(args.bootstrap, topic, args.partitions)
        if file is not None:
            print(f"{topic}: {produce(args.bootstrap, topic, file):,} events")


def create_topic(bootstrap: str, topic: str, partitions: int) -> None:
    """Create a topic whose records never expire. One that is there stays as it is."""
    admin = AdminClient({"bootstrap.servers": bootstrap})
    if topic in admin.list_topics(timeout=TIMEOUT_S).topics:
        return
    new = NewTopic(topic, num_partitions=partitions, config={"retention.ms": "-1"})
    admin.create_topics([new])[topic].result(TIMEOUT_S)


def produce(bootstrap: str, topic: str, file: Path) -> int:
    """Send every line of a file; returns their number once the broker has them all."""
    producer = Producer(
        {
            "bootstrap.servers": bootstrap,
            "enable.idempotence": True,
            "linger.ms": 50,
            "compression.type": "lz4",
        }
    )
    failed: list[str] = []
    count = 0
    with file.open("rb") as lines:
        for count, line in enumerate(lines, 1):  # noqa: B007
            _send(producer, topic, line.rstrip(), failed)
    if producer.flush(TIMEOUT_S) or failed:
        raise SystemExit(
            f"{topic}: expected every event to be delivered, got {failed[:1] or 'no answer in time'}"
        )
    return count


def _send(producer: Producer, topic: str, value: bytes, failed: list[str]) -> None:
    event = orjson.loads(value)

    def report(error: object, _: object) -> None:
        if error is not None:
            failed.append(str(error))

    producer.poll(0)
    while True:
        try:
            return producer.produce(
                topic, value, key=event["prediction_id"], timestamp=event["ts"], on_delivery=report
            )
        except BufferError:
            producer.poll(0.1)


if __name__ == "__main__":
    main()
