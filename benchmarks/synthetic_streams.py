"""The errors of a model that was trained once, on river's generators, while their concept changes.

Trained once and then frozen, as deployed models are: what changes stays to be found, and before it errors are
stationary. A model that goes on learning mends itself; its falling errors are a change of their own, and how
long a drift shows then says as much of the learner as of the detector.

Two streams of one generator are joined by river's ``ConceptDriftStream``: the chance of the new concept is a
sigmoid of a ``width`` about a position. That lies a width after ONSET, at which one event in 55 is of the new
concept; a width before it one in 3,000 is. The formula overflows where a width is below a 177th of the
position: so a "sudden" change takes 200 events.
"""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass
from typing import Any

import numpy as np
import pandas as pd
from river import linear_model, naive_bayes, preprocessing
from river.datasets import synth

from stream_monitor.events import Float64s

TRAIN = 2_000
LEARN = 20_000
"""Events that are taken for healthy, by those who learn."""
ONSET = 25_000
HORIZON = 10_000
"""Events from the onset on in which a change is to be found."""
EVENTS = ONSET + HORIZON
WIDTHS = {"none": 0, "sudden": 200, "gradual": 2_000}


def _linear() -> Any:
    return preprocessing.StandardScaler() | linear_model.LogisticRegression()


def _bayes() -> Any:
    return preprocessing.OneHotEncoder() | _bits()


_bits: Any = naive_bayes.BernoulliNB


@dataclass(frozen=True, slots=True)
class Concept:
    """A generator before and after, given a seed; and the model: logistic regression, or naive Bayes where
    features are categories."""

    name: str
    before: Callable[[int], Any]
    after: Callable[[int], Any]
    model: Callable[[], Any] = _linear


CONCEPTS = (
    Concept(
        "SEA",
        lambda seed: synth.SEA(variant=0, noise=0.1, seed=seed),
        lambda seed: synth.SEA(variant=1, noise=0.1, seed=seed),
    ),
    Concept(
        "Hyperplane",
        lambda seed: synth.Hyperplane(seed=seed),
        lambda seed: synth.Hyperplane(seed=seed),
    ),
    Concept(
        "Agrawal",
        lambda seed: synth.Agrawal(classification_function=6, seed=seed),
        lambda seed: synth.Agrawal(classification_function=8, seed=seed),
    ),
    Concept(
        "LED",
        lambda seed: synth.LED(noise_percentage=0.1, irrelevant_features=True, seed=seed),
        lambda seed: synth.LEDDrift(
            noise_percentage=0.1, irrelevant_features=True, n_drift_features=1, seed=seed
        ),
        _bits,
    ),
    Concept(
        "STAGGER",
        lambda seed: synth.STAGGER(classification_function=1, seed=seed),
        lambda seed: synth.STAGGER(classification_function=2, seed=seed),
        _bayes,
    ),
)


def errors(concept: Concept, shape: str, seed: int) -> Float64s:
    """Of EVENTS predictions, 1 where one is wrong. The model learns from TRAIN events before these."""
    stream = concept.before(2 * seed)
    if width := WIDTHS[shape]:
        after, position = concept.after(2 * seed + 1), TRAIN + ONSET + width
        stream = synth.ConceptDriftStream(stream, after, position=position, width=width, seed=seed)
    # Tables have names where these streams have numbers.
    events = [({str(name): x[name] for name in x}, y) for x, y in stream.take(TRAIN + EVENTS)]
    model = concept.model()
    for x, y in events[:TRAIN]:
        model.learn_one(x, y)
    predicted = model.predict_many(pd.DataFrame([x for x, _ in events[TRAIN:]]))
    truth = np.array([y for _, y in events[TRAIN:]])
    return np.asarray(predicted.to_numpy() != truth, np.float64)
