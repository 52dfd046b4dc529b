"""What steps make: a folder of files and a few typed facts about them. Checksums are the store's.

Every artifact folder holds `artifact.json` (format, type, facts). Nothing here is pickled, and nothing but files
passes between steps.
"""

from __future__ import annotations

import json
import math
from typing import Annotated, Any, ClassVar, Literal, Self

from pydantic import BeforeValidator, Field, PlainSerializer, PrivateAttr, ValidationError

from cluster.errors import RequestError
from cluster.folder import Folder
from jobs.budget.record import Budget
from jobs.data.preprocess import Preprocess
from jobs.exporting.forms import Export, Skipped, StoredLayer, Variant
from jobs.fusing.record import Fused
from jobs.runtime.expected import Expected
from jobs.spec import Spec

FORMAT = 1
NAME = "artifact.json"
UNSERVABLE = "takes strings, which only TensorFlow runs, and replicas have no TensorFlow"
SERVABLE = "distill it into a backbone with a tokenizer of its own"


class Artifact(Spec):
    """Typed facts about a folder of files; `folder` says where the files lie."""

    _folder: Folder | None = PrivateAttr(default=None)

    @property
    def folder(self) -> Folder:
        """The folder the artifact's files lie in."""
        assert self._folder is not None, "an artifact has its folder once it is stored or loaded"
        return self._folder

    def at(self, folder: Folder) -> Self:
        """Return this artifact with its files in `folder`."""
        placed = self.model_copy()
        placed._folder = folder
        return placed

    def save(self, folder: Folder) -> Self:
        """Write `artifact.json` into `folder` and return the artifact placed there."""
        document = {"format": FORMAT, "type": type(self).__name__, "facts": self.model_dump(mode="json")}
        folder.write_bytes(NAME, json.dumps(document, indent=1).encode())
        return self.at(folder)

    @classmethod
    def load(cls, folder: Folder) -> Self:
        """Read the artifact in `folder`; RequestError when it is not one, of another type, or of a newer format."""
        try:
            document = json.loads(folder.read_bytes(NAME))
        except FileNotFoundError:
            wanted, remedy = "the folder of an artifact", "name the attempt's folder of a finished step"
            raise RequestError(str(folder), f"has no {NAME}", wanted, remedy) from None
        except ValueError as error:
            raise RequestError(f"{folder}/{NAME}", f"is not JSON ({error})", "an artifact's facts") from None
        if not isinstance(document, dict) or not isinstance(document.get("format"), int):
            raise RequestError(f"{folder}/{NAME}", "has no format", "an artifact's facts")
        if document["format"] > FORMAT:
            raise RequestError(
                f"{folder}/{NAME}", f"has format {document['format']}", f"{FORMAT} or older", "use a newer espalier"
            )
        members = {cls.__name__: cls, **artifact_types()}
        found = members.get(str(document.get("type")))
        if found is None or not issubclass(found, cls):
            raise RequestError(f"{folder}", f"is a {document.get('type')}", f"a {cls.__name__}")
        try:
            return found.model_validate(document["facts"]).at(folder)
        except (ValidationError, KeyError) as error:
            raise RequestError(f"{folder}/{NAME}", f"does not hold a {cls.__name__}'s facts ({error})") from None


def artifact_types() -> dict[str, type[Any]]:
    """Return every artifact type by its name."""
    return {cls.__name__: cls for cls in Artifact.__subclasses__()}


def _printable(text: str) -> str:
    """Return `text` with what UTF-8 cannot hold, as names of files may, written as escapes."""
    return text.encode("utf-8", "backslashreplace").decode()


class RejectedRow(Spec):
    """A row of the source that could not be read, and why; while data are prepared, its label too where it has one."""

    row: Annotated[str, BeforeValidator(_printable)]
    reason: str
    label: Annotated[str, Field(exclude=True)] = ""


class Overlap(Spec):
    """The same text or image found in two splits."""

    first: str
    second: str
    rows: int


class Dataset(Artifact):
    """Labelled rows in Arrow shards: `<split>.arrow` with columns `x` and `label`.

    Images are `uint8[height, width, channels]` as fixed-size binary, texts are strings; labels are int32 indices
    into `classes`. Of pairs, `<split>.arrow` holds the images and `<split>.text.arrow` the texts, row for row. Where
    the source says whose rows are, `owners` names them and `jobs/data/owners.py` tells which training row is whose.
    """

    modality: Literal["image", "text", "image_text"]
    classes: list[str]
    rows: dict[str, int]
    image: list[int] | None = None  # height, width, channels
    digest: str = ""
    rejected: list[RejectedRow] = []
    rejected_rows: int = 0
    overlaps: list[Overlap] = []
    owners: list[str] = []

    splits: ClassVar[tuple[str, ...]] = ("train", "validation", "test")

    def holds(self, part: Literal["image", "text"]) -> bool:
        """Say whether its rows have an image, or a text."""
        return part in self.modality.split("_")

    def shard(self, split: str, part: Literal["image", "text"]) -> str:
        """Return the name of the file with the images, or the texts, of a split."""
        return f"{split}.text.arrow" if part == "text" and self.holds("image") else f"{split}.arrow"


class Timing(Spec):
    """Where the time of an epoch's train steps went, as worker 0, or a coordinator, saw it. None: not measured.

    Several train steps are made in one call; where they are not timed one by one, each counts among the percentiles
    with the mean of its call. The first call of a training also traces the graph. `bytes_sent` is what all processes
    together send for a train step by the strategy's algorithm; it is not counted on the wire.
    """

    rows_per_second: list[float]  # of each worker
    calls: int
    train_steps: int
    p50_ms: float  # of a train step
    p90_ms: float
    p99_ms: float
    seconds: float  # of all calls, of the wall
    input_seconds: float | None = None  # in which train steps waited for their rows
    communication_seconds: float | None = None  # in which gradients, weights or activations travelled
    bytes_sent: int  # for one train step

    @property
    def compute_seconds(self) -> float | None:
        """What is left of the calls' time; also where a worker waits for another. None where a part is not known."""
        if self.input_seconds is None or self.communication_seconds is None:
            return None
        return max(0.0, self.seconds - self.input_seconds - self.communication_seconds)


# A number that those who know it may keep to themselves: NaN then, null on disk.
Shown = Annotated[
    float,
    Field(allow_inf_nan=True),
    BeforeValidator(lambda value: math.nan if value is None else value),
    PlainSerializer(lambda value: None if math.isnan(value) else value, float | None),
]


class Epoch(Spec):
    """What one epoch of training showed; losses are means per row, seconds are of the wall."""

    phase: str = "train"
    epoch: int
    loss: Shown  # of training rows, as their accuracy
    accuracy: Shown
    validation_loss: float
    validation_accuracy: float
    seconds: float
    rows_per_second: float
    timing: Timing | None = None
    facts: dict[str, float] = {}  # what the strategy alone can tell of it, by name


class Finding(Spec):
    """One promise of a technique, checked: what was promised, what was measured, and whether it was kept."""

    technique: str
    what: str
    layer: str = ""
    promised: str = ""
    measured: str = ""
    kept: bool = True


class Rewrite(Spec):
    """One layer that is other than the spec says: what structured pruning and factorisation leave behind.

    It has `units` outputs, works in `heads` parts, or is two layers with `rank` values between them.
    """

    layer: str
    units: Annotated[int | None, Field(ge=1)] = None
    heads: Annotated[int | None, Field(ge=1)] = None
    rank: Annotated[int | None, Field(ge=1)] = None


class Model(Artifact):
    """A classifier: our spec of it, its weights (`weights.npz`), its preprocessing and the file that is served.

    The architecture is rebuilt from `spec` and `rewrites`; no Python and no pickle is stored. `served` is a LiteRT
    file, or, for TensorFlow as the `runtime`, the folder of a SavedModel, which replicas cannot run.
    """

    spec: dict[str, Any]
    rewrites: list[Rewrite] = []
    classes: list[str]
    preprocess: Preprocess
    chain: list[dict[str, Any]] = []
    history: list[Epoch] = []
    findings: list[Finding] = []
    skipped: list[Skipped] = []
    stored: list[StoredLayer] = []  # of a compressed one, what its file holds
    variants: list[Variant] = []  # what the served file was chosen among
    exports: list[Export] = []
    served: str = "model.tflite"
    runtime: Literal["litert", "tensorflow"] = "litert"
    parameters: int
    macs: int | None = None  # multiplications with weights for one row; None where its layers cannot be looked into
    size_bytes: int
    temperature: float = 1.0  # logits are divided by it before the softmax; fitted on validation rows
    expected: Expected | None = None  # against which drift is told; None without validation rows
    recipe: dict[str, Any] = {}
    strategy: dict[str, Any] = {}
    fused: Fused | None = None  # where it was made of other models
    budget: Budget | None = None  # where its chain was chosen among several

    def require_servable(self, subject: str) -> None:
        """Raise RequestError when only TensorFlow runs the model."""
        if self.runtime != "litert":
            raise RequestError(subject, UNSERVABLE, remedy=SERVABLE)


class Report(Artifact):
    """Evidence: what was measured of which models, and the page that shows it, if there is one."""

    title: str
    page: str = ""
    evaluations: dict[str, dict[str, Any]] = {}


class Speed(Spec):
    """How fast one model was trained by `workers` workers; the timing is of the epoch of median speed."""

    workers: int
    rows_per_second: float  # of all workers together
    efficiency: float  # rows/s a worker, as a share of those with the fewest workers
    timing: Timing | None


class Scaling(Artifact):
    """How fast a training goes with several numbers of workers: same model, same rows, same global batch."""

    step: str
    strategy: dict[str, Any]
    batch_size: int
    speeds: list[Speed]


class Scores(Artifact):
    """What a model says of many rows: `part-00000.parquet` …, in the order of the source, a row for each row there.

    Columns: `row` (its name), `label` and `probability` of the likeliest class, `probabilities` of all `classes` in
    their order, or with `top` the likeliest `labels` and their `probabilities`; `reason` of a row that could not be
    read or prepared, which has none of these; `true_label` where the source's labels were asked for.
    """

    model_sha256: str
    classes: list[str]
    rows: int
    parts: int
    rejected_rows: int
    rejected: list[RejectedRow] = []
    accuracy: float | None = None  # of labelled rows that could be scored
    rows_per_second: float  # once scoring had begun
    start_seconds: float  # until the first rows were scored


class Endpoint(Artifact):
    """A served model: where it answers, which file answers there, and the first answer it gave."""

    url: str
    application: str
    model_sha256: str
    request: dict[str, Any]
    answer: dict[str, Any]
    reject_below: float | None = None  # probability of the top label under which none is given
    outcome: str = "deployed"  # or promoted, with what was missed of it, or serves already
