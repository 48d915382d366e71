"""Predictions and labels of one id, whichever comes first, however late: pairs, and what they change."""
