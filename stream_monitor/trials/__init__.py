"""A history under configurations: what they would have told, and what they could have seen."""
