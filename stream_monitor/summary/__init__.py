"""Mergeable statistics of one stream in one slice of time: integers only, so that merging is exact."""
