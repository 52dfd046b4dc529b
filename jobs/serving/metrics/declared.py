"""The metrics of serving, declared once: replicas tell them, and dashboards are drawn from `METRICS`."""

from __future__ import annotations

from cluster.metrics import Metric

TAGS = ("model", "version")
SECONDS = (0.0005, 0.001, 0.002, 0.005, 0.01, 0.02, 0.05, 0.1, 0.2, 0.5, 1.0, 2.0, 5.0)

REQUESTS = Metric(
    "espalier_requests", "counter", "Requests answered, by protocol and status", (*TAGS, "protocol", "status")
)
ERRORS = Metric("espalier_request_errors", "counter", "Requests refused or failed, by what was wrong", (*TAGS, "kind"))
LATENCY = Metric(
    "espalier_request_seconds",
    "histogram",
    "Time from request to answer, of 100 a second at most",
    (*TAGS, "protocol"),
    SECONDS,
)
BATCH = Metric(
    "espalier_batch_rows",
    "histogram",
    "Rows run together, of 100 runs a second at most",
    TAGS,
    (1, 2, 4, 8, 16, 32, 64),
)
QUEUE = Metric("espalier_queue_requests", "gauge", "Requests a replica holds, waiting or at work", ("model",))
PREDICTED = Metric("espalier_predictions", "counter", "Rows answered, by the class predicted", (*TAGS, "label"))
CONFIDENCE = Metric(
    "espalier_confidence",
    "histogram",
    "Probability of the class predicted",
    TAGS,
    (0.2, 0.4, 0.5, 0.6, 0.7, 0.8, 0.9, 0.95, 0.99, 1.0),
)
DRIFT = Metric(
    "espalier_drift_psi",
    "gauge",
    "Population stability index of the latest rows against held-out rows; over 0.2 the shift matters",
    (*TAGS, "of"),
)
METRICS = (REQUESTS, ERRORS, LATENCY, BATCH, QUEUE, PREDICTED, CONFIDENCE, DRIFT)
