"""The demo: a model that drifts at a stated moment, and the monitor that finds it."""
