"""The metrics of what steps do, declared once, and what an event of a step says of them. Nothing here knows Ray."""

from __future__ import annotations

import math
from collections.abc import Iterator, Mapping
from typing import Any

from cluster.metrics import Metric
from cluster.monitoring.alert import Alert

TAGS = ("definition", "step", "run")
SPLIT = (*TAGS, "phase", "split")
PHASE = (*TAGS, "phase")

EPOCH = Metric("espalier_epoch", "gauge", "Epochs trained", PHASE)
LOSS = Metric("espalier_loss", "gauge", "Loss, mean of the epoch's rows", SPLIT)
ACCURACY = Metric("espalier_accuracy", "gauge", "Accuracy in the latest epoch", SPLIT)
ROWS = Metric("espalier_rows_per_second", "gauge", "Images or texts a second, all workers", PHASE)
EPOCH_TIME = Metric("espalier_epoch_seconds", "gauge", "Time of the latest epoch", PHASE)
INPUT = Metric("espalier_input_wait_seconds", "gauge", "Of it, in which train steps waited for rows", PHASE)
CHECKPOINT = Metric("espalier_checkpoint_seconds", "gauge", "To keep the latest epoch's checkpoint", PHASE)
TRIALS = Metric("espalier_trials", "counter", "Trials that ended, by how", (*TAGS, "state"))
RATIO = Metric("espalier_compression_ratio", "gauge", "How many times smaller the compressed file is", TAGS)
JUDGED = Metric("espalier_judged_accuracy", "gauge", "Accuracy of the served file on the test split", (*TAGS, "model"))
METRICS = (EPOCH, LOSS, ACCURACY, ROWS, EPOCH_TIME, INPUT, CHECKPOINT, TRIALS, RATIO, JUDGED)

ALERTS = (
    Alert(
        "EspalierLossNotFinite",
        f"{LOSS.exported} != {LOSS.exported}",
        1,
        "The loss of {{ $labels.step }} of {{ $labels.definition }} is no number",
    ),
    Alert(
        "EspalierWaitsForRows",
        f"{INPUT.exported} / {EPOCH_TIME.exported} > 0.3",
        10,
        "{{ $labels.step }} of {{ $labels.definition }} waits for its rows three tenths of the time or more",
    ),
)

Reading = tuple[Metric, float, dict[str, str]]


def readings(event: Mapping[str, Any]) -> Iterator[Reading]:
    """Yield what an event of a step says: the metric, its value (of a counter, how much more), and tags of its own."""
    if "epoch" in event:
        yield from _of_epoch(event["epoch"], event.get("checkpoint_seconds"))
    elif "trial" in event and "status" in event:
        yield TRIALS, 1, {"state": str(event["status"])}
    elif "compression_ratio" in event:
        yield RATIO, float(event["compression_ratio"]), {}
    elif "judged" in event:
        yield JUDGED, float(event["accuracy"]), {"model": str(event["judged"])}


def _of_epoch(facts: Mapping[str, Any], kept: float | None) -> Iterator[Reading]:
    phase = {"phase": str(facts["phase"])}
    timing = facts.get("timing") or {}
    of_phase = (
        (EPOCH, facts["epoch"]),
        (ROWS, facts["rows_per_second"]),
        (EPOCH_TIME, facts["seconds"]),
        (INPUT, timing.get("input_seconds")),
        (CHECKPOINT, kept),
    )
    yield from ((metric, float(value), phase) for metric, value in of_phase if value is not None)
    for split, prefix in (("train", ""), ("validation", "validation_")):
        for metric, name in ((LOSS, "loss"), (ACCURACY, "accuracy")):
            value = facts[f"{prefix}{name}"]  # of training rows, what is private is not told
            if value is not None and not math.isnan(value):
                yield metric, float(value), {**phase, "split": split}
