"""Metrics with truth, one per file; each defines `METRIC`, a `metric.MetricWithTruth`."""
