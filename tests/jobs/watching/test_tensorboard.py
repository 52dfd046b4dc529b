"""Event files are what TensorBoard reads: records of TFRecord files, each an Event."""

from __future__ import annotations

import subprocess
import sys
import time
from pathlib import Path
from typing import Any

from jobs.artifacts import Epoch
from jobs.data.sources.framing import read_frames
from jobs.watching.tensorboard import EventFiles


def epoch(number: int, loss: float) -> dict[str, Any]:
    facts = {"epoch": number, "loss": loss, "accuracy": 0.5, "validation_loss": 1.0, "validation_accuracy": 0.75}
    return {"epoch": Epoch.model_validate({**facts, "seconds": 2.0, "rows_per_second": 50.0}).model_dump()}


def scalars(folder: Path) -> dict[str, dict[int, float]]:
    """Return every scalar in a folder's event files: its values by step, by its tag."""
    from tensorboardX.proto.event_pb2 import Event

    found: dict[str, dict[int, float]] = {}
    for file in folder.glob("events.out.tfevents.*"):
        for _, data, _ in read_frames(str(file)):
            event = Event.FromString(data)
            for value in event.summary.value:
                found.setdefault(value.tag, {})[event.step] = round(value.simple_value, 5)
    return found


def appears(folder: Path, number: int) -> float | None:
    """Return the loss of an epoch as soon as it is in the files."""
    end = time.monotonic() + 20
    while time.monotonic() < end:
        if number in (losses := scalars(folder).get("train/train/loss", {})):
            return losses[number]
        time.sleep(0.1)
    return None


def test_every_epoch_of_a_step_is_written_as_it_ends(tmp_path: Path) -> None:
    with EventFiles(tmp_path, "toy", "first") as files:
        for number, loss in ((1, 0.5), (2, 0.25)):
            files("model", "event", epoch(number, loss))
            assert appears(tmp_path / "toy/model/first", number) == loss, "before the run ends"
        files("model", "event", {"rows": 12})
        files("model", "done", {"seconds": 3.0})
        files("other", "running", {})
    assert [path.name for path in (tmp_path / "toy").iterdir()] == ["model"]
    assert scalars(tmp_path / "toy/model/first") == {
        "train/train/loss": {1: 0.5, 2: 0.25},
        "train/train/accuracy": {1: 0.5, 2: 0.5},
        "train/validation/loss": {1: 1.0, 2: 1.0},
        "train/validation/accuracy": {1: 0.75, 2: 0.75},
        "train/epoch_seconds": {1: 2.0, 2: 2.0},
        "train/rows_per_second": {1: 50.0, 2: 50.0},
    }


def test_no_tensorflow_is_loaded() -> None:
    code = "import sys; from tests.jobs.watching.test_tensorboard import EventFiles, epoch; from pathlib import Path\n"
    code += (
        "import tempfile; files = EventFiles(Path(tempfile.mkdtemp()), 'a', 'b'); files('c', 'event', epoch(1, .5))\n"
    )
    code += "print({'tensorflow', 'ray'} & set(sys.modules))"
    found = subprocess.run([sys.executable, "-c", code], capture_output=True, text=True, check=True)
    assert found.stdout == "set()\n"
