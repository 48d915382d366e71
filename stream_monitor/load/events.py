"""Events and their labels as bytes, some hundred at a time, put together from pieces."""

from __future__ import annotations

from collections.abc import Callable, Sequence
from dataclasses import dataclass
from typing import NamedTuple, TypeVar

import numpy as np
import orjson
from numpy.typing import NDArray

from stream_monitor.config import Config
from stream_monitor.errors import StreamMonitorError
from stream_monitor.events import Int64s
from stream_monitor.load import pieces
from stream_monitor.load.layout import Layout
from stream_monitor.load.population import Population

CHUNK = 512
"""Events at a time. With more of them, or with more pieces, what is sent falls out of the processor's cache:
4,096 events and 8,192 pieces cost 2.0 us an event instead of 1.1."""

VERSION = b'"3"'
_KEYS = 10_000
_LOW = [b"%03x" % number for number in range(CHUNK)]
_OF_FEATURES, _OF_OUTPUTS, _OF_LABELS, _OF_PADDING, _OF_CHUNKS = range(5)

Bools = NDArray[np.bool_]
Drifted = Callable[[Int64s], Bools]
"""Given the number of the model of n events, says which of the events are drifted."""


@dataclass(frozen=True, slots=True)
class Mix:
    """What a load is made of; the seed decides all of it but the times.

    ``model_skew`` and ``key_skew`` are exponents of Zipf's law; 0 is even. The key is the id, or where keys
    are skewed, one of 10,000 customers. ``size``: between so many bytes events are padded to. ``labels``: the
    share of events that get one. ``pool``: so many variants there are of each piece of an event.
    """

    seed: int
    models: Sequence[str]
    model_skew: float = 0.0
    key_skew: float = 0.0
    size: tuple[int, int] = (0, 0)
    labels: float = 0.0
    pool: int = 1_024


class Chunk(NamedTuple):
    """Records of one topic. ``headers``: of each, None where no field is mapped to one."""

    keys: list[bytes]
    values: list[bytes]
    headers: list[list[tuple[str, bytes]]] | None


class _Draw(NamedTuple):
    ids: list[bytes]
    model: Int64s
    key: Int64s
    pieces: Int64s
    labelled: Bools
    size: Int64s
    noise: Int64s


class Events:
    """The events of a mix and population, mapped as ``config`` says.

    An event is one piece of each group of a few features, one of the outputs, and what is its own: so values
    within a group belong together as in the population, and events are distinct. Chunk ``number`` is a
    function of the mix and the number alone: labels that are due much later need no memory.
    """

    def __init__(self, mix: Mix, population: Population, config: Config) -> None:
        self._mix = mix
        fields = config.predictions.fields.model_dump(exclude={"role"})
        self._layout = Layout(fields)
        if mix.size[1] and "$" in fields.values():
            message = "size: expected features and outputs in objects of their own, got $; leave it out"
            raise StreamMonitorError(message)
        self._label_layout = None
        if config.labels is not None:
            self._label_layout = Layout(config.labels.fields.model_dump())
        if mix.key_skew and "id" in (self._layout.key, self._label_layout and self._label_layout.key):
            message = "key skew: expected the id in the value, got it mapped to the key; leave the skew out"
            raise StreamMonitorError(message)
        self._make_pieces(population, config)
        self._models = [orjson.dumps(name) for name in mix.models]
        self._model_bounds = _zipf(len(mix.models), mix.model_skew)
        self._keys = [b"customer-%d" % number for number in range(_KEYS)]
        self._key_bounds = _zipf(_KEYS, mix.key_skew)

    def _make_pieces(self, population: Population, config: Config) -> None:
        """Of each piece first the healthy variants, then the drifted ones."""
        mix, states = self._mix, (False, True)
        features = [population.features(self._random(_OF_FEATURES), mix.pool, drifted=one) for one in states]
        outputs = [population.outputs(self._random(_OF_OUTPUTS), mix.pool, drifted=one) for one in states]
        healthy, drifted = map(pieces.groups, features)
        self._features = [one + other for one, other in zip(healthy, drifted, strict=True)]
        self._outputs = [piece for columns in outputs for piece in pieces.members(columns)]
        self._noise = self._random(_OF_PADDING).bytes(_NOISE + mix.size[1]).hex().encode()
        self._truths: list[list[bytes]] = []
        if mix.labels:
            known: dict[str, list[bytes]] = {}
            for name in mix.models:
                quality = config.model(name).quality
                if repr(quality) not in known:
                    random = self._random(_OF_LABELS)
                    made = [pieces.truths(quality, columns, random) for columns in outputs]
                    known[repr(quality)] = made[0] + made[1]
                self._truths.append(known[repr(quality)])

    def _random(self, *of: int) -> np.random.Generator:
        return np.random.default_rng((self._mix.seed, *of))

    def events(self, number: int, times: Int64s, drifted: Drifted) -> Chunk:
        """A chunk. ``times`` (n,), epoch ms, n at most CHUNK: only the first n of it are made.

        Cost: about 1.1 us an event of 20 features.
        """
        draw, n = self._draw(number, len(times)), len(times)
        chosen = draw.pieces + self._mix.pool * drifted(draw.model)
        values: dict[str, Sequence[bytes]] = {
            "id": _quoted(draw.ids),
            "model": _taken(self._models, draw.model),
            "version": [VERSION] * n,
            "time": _numbers(times),
        }
        members = {
            "features": [_taken(made, which) for made, which in zip(self._features, chosen[1:], strict=True)],
            "outputs": [_taken(self._outputs, chosen[0])],
        }
        documents = self._padded(self._layout.render(values, members), draw)
        return self._chunk(self._layout, draw, values, documents)

    def labels(self, number: int, times: Int64s, drifted: Drifted) -> Chunk:
        """The labels of the first n events of a chunk. ``times`` (n,) are those of the labels."""
        assert self._label_layout is not None
        draw = self._draw(number, len(times))
        which = (draw.pieces[0] + self._mix.pool * drifted(draw.model)).tolist()
        kept = np.flatnonzero(draw.labelled)
        rows = kept.tolist()
        few = draw._replace(ids=[draw.ids[row] for row in rows], model=draw.model[kept], key=draw.key[kept])
        values: dict[str, Sequence[bytes]] = {
            "id": _quoted(few.ids),
            "model": _taken(self._models, few.model),
            "time": _numbers(times[kept]),
            "value": [
                self._truths[model][which[row]] for model, row in zip(few.model.tolist(), rows, strict=True)
            ],
        }
        return self._chunk(self._label_layout, few, values, self._label_layout.render(values, {}))

    def _draw(self, number: int, n: int) -> _Draw:
        """The first n rows of a chunk, which are the same for every n."""
        mix, random = self._mix, self._random(_OF_CHUNKS, number)
        prefix = b"%04x-%07x" % (mix.seed, number)
        chosen = random.integers(0, mix.pool, (len(self._features) + 1, CHUNK))
        shares = random.random((4, CHUNK))[:, :n]
        size = random.integers(mix.size[0], mix.size[1] + 1, CHUNK)
        return _Draw(
            ids=list(map(prefix.__add__, _LOW[:n])),
            model=np.searchsorted(self._model_bounds, shares[0]),
            key=np.searchsorted(self._key_bounds, shares[1]) if mix.key_skew else np.zeros(n, np.int64),
            pieces=chosen[:, :n],
            labelled=shares[2] < mix.labels,
            size=size[:n],
            noise=(shares[3] * _NOISE).astype(np.int64),
        )

    def _padded(self, documents: list[bytes], draw: _Draw) -> list[bytes]:
        """Close each with a member ``trace`` so that it has its size, or as many bytes as it has already."""
        if not self._mix.size[1]:
            return documents
        noise, closing = self._noise, len(_TRACE) + 1
        return [
            b'%b%b%b"}' % (one[:-1], _TRACE, noise[at : at + max(size - len(one) - closing, 0)])
            for one, at, size in zip(documents, draw.noise.tolist(), draw.size.tolist(), strict=True)
        ]

    def _chunk(
        self, layout: Layout, draw: _Draw, values: dict[str, Sequence[bytes]], documents: list[bytes]
    ) -> Chunk:
        keys = draw.ids
        if layout.key is not None:
            keys = _texts(values[layout.key])
        elif self._mix.key_skew:
            keys = _taken(self._keys, draw.key)
        headers = None
        if layout.headers:
            columns = [[(name, one) for one in _texts(values[slot])] for slot, name in layout.headers.items()]
            headers = [list(row) for row in zip(*columns, strict=True)]
        return Chunk(keys, documents, headers)


_TRACE = b',"trace":"'
_NOISE = 65_536
_T = TypeVar("_T")


def _zipf(n: int, exponent: float) -> NDArray[np.float64]:
    """Bounds of the shares of n things, the first the most frequent; for searchsorted."""
    weights = np.arange(1, n + 1) ** -exponent
    return np.cumsum(weights / weights.sum())[:-1]


def _taken(made: Sequence[_T], which: Int64s) -> list[_T]:
    return list(map(made.__getitem__, which.tolist()))


def _numbers(values: Int64s) -> list[bytes]:
    return orjson.dumps(values.tolist())[1:-1].split(b",") if len(values) else []


def _quoted(texts: Sequence[bytes]) -> list[bytes]:
    return [b'"%b"' % text for text in texts]


def _texts(values: Sequence[bytes]) -> list[bytes]:
    """JSON strings and numbers as the plain text of a key or a header."""
    return [value.strip(b'"') for value in values]
