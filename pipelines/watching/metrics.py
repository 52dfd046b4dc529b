"""The metrics of a run, declared once; and every package's, from which dashboards and alerts are made."""

from __future__ import annotations

from collections.abc import Mapping, Sequence

from cluster.metrics import Metric
from cluster.monitoring.alert import Alert
from jobs.serving.metrics import declared as serving
from jobs.watching import metrics as of_jobs

STEPS = Metric("espalier_steps", "gauge", "Steps of the run, by state", ("definition", "run", "state"))
DONE = Metric("espalier_step_seconds", "gauge", "How long a step took", of_jobs.TAGS)
METRICS = (STEPS, DONE)

ALERTS = (
    Alert(
        "EspalierStepFailed",
        f'{STEPS.exported}{{state="failed"}} > 0',
        0,
        "{{ $value }} steps of {{ $labels.definition }} failed: `espalier status` names them",
        "critical",
    ),
    Alert(
        "EspalierTrainingStands",
        f"changes(max by (definition, run, step) ({of_jobs.EPOCH.exported})[1h:1m]) == 0 "
        f'and on (definition, run) {STEPS.exported}{{state="running"}} > 0',
        10,
        "{{ $labels.step }} of {{ $labels.definition }} has trained no epoch in an hour",
    ),
)

SERVED = (
    Alert(
        "EspalierRequestsFail",
        f"sum by (model) (rate({serving.ERRORS.exported}[5m])) "
        f"/ sum by (model) (rate({serving.REQUESTS.exported}[5m])) > 0.05",
        5,
        "One request in twenty of {{ $labels.model }} fails or is refused",
        "critical",
    ),
    Alert(
        "EspalierDrift",
        f"{serving.DRIFT.exported} > 0.2",
        30,
        "{{ $labels.of }} of what {{ $labels.model }} is asked is not as its held-out rows were",
    ),
)


def packages() -> Mapping[str, Sequence[Metric]]:
    """Return every declared metric, by what it tells of."""
    return {"Runs": METRICS, "Training, compression, judgement": of_jobs.METRICS, "Serving": serving.METRICS}


def alerts() -> Sequence[Alert]:
    """Return every declared alert."""
    return (*ALERTS, *of_jobs.ALERTS, *SERVED)
