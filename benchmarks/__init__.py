"""Measurements on a real Kafka. ``python -m benchmarks SECTION`` runs one and writes results/SECTION.json."""
