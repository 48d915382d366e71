"""Watches machine-learning models in production: predictions in, drift alerts out."""

from __future__ import annotations

__version__ = "0.1.0"
