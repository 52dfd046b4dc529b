"""What a technique is: five small functions around one idea.

`legal` speaks at load time; `prepare` and `finish` surround the fine-tuning, if there is any; `lower` shapes the file
(`rework` does, once it is converted); `promise` says afterwards whether what was promised is so. One that changes the
layers themselves does so in `reshape`.
"""

from __future__ import annotations

from abc import abstractmethod
from collections.abc import Callable, Iterator, Mapping, Sequence
from dataclasses import dataclass, field
from pathlib import Path
from typing import TYPE_CHECKING, Any, ClassVar, Self

from jobs.artifacts import Finding, Rewrite
from jobs.exporting.forms import Skipped
from jobs.models.backbone import Backbone
from jobs.models.model import ModelSpec
from jobs.recipe import Recipe
from jobs.spec import Choice
from jobs.strategies.strategy import Strategy

if TYPE_CHECKING:
    from jobs.fit import Training

ROUNDED = 0.9


@dataclass
class Context:
    """What a technique may look at: the chain so far, rows to calibrate with, how long the fine-tuning is."""

    chain: Sequence[Technique]
    modality: str
    train_steps: int = 0
    taught: int = 0  # how many numbers a teacher said of each row: logits, and features where they are matched
    calibration: Callable[[int], Any] | None = None  # returns that many prepared rows of the training split
    labelled: Callable[[int], tuple[Any, Any]] | None = None  # the same with their classes, `int32[rows]`


@dataclass(frozen=True)
class Reshaped:
    """A model some of whose layers became others: the facts it is rebuilt from, its weights by name, what was found."""

    rewrites: Sequence[Rewrite]
    weights: Mapping[str, Any]
    findings: Sequence[Finding] = field(default_factory=list)


class Technique(Choice):
    """The family of compression techniques."""

    shapes_file: ClassVar[bool] = False  # it lowers to the file instead of changing weights
    whole: ClassVar[bool] = False  # it takes the model as it is and builds nothing around its layers
    zeroes: ClassVar[bool] = False  # it leaves weights that are zero, which what comes behind it keeps
    reshapes: ClassVar[bool] = False  # it makes layers smaller: `reshape` comes before any fine-tuning

    def located(self, root: Path) -> Self:
        """Return this technique with its relative paths taken from `root`."""
        return self

    def recipe(self) -> Recipe | None:
        """Return how the model is fine-tuned: the technique itself, when it is a Recipe; None when it is not tuned."""
        return None

    def most_values(self) -> int:
        """Return how many different values it leaves a kernel at most, which what comes behind it keeps; 0: any."""
        return 0

    def calibrates(self) -> int:
        """Return on how many training rows it sets ranges."""
        return 0

    def takes_whole(self) -> bool:
        """Say whether it builds nothing around layers: as its class, unless its fields say otherwise."""
        return self.whole

    def legal(self, before: Sequence[Technique], backbone: Backbone, strategy: Strategy) -> Iterator[str]:
        """Yield each reason why the technique cannot follow `before` on `backbone` under `strategy`."""
        yield from ()

    def uncarried(self) -> Iterator[str]:
        """Yield each reason why workers cannot carry it together that read rows of their own and average weights."""
        if self.recipe() is not None and not self.reshapes:
            yield "shapes weights, which would come out otherwise with each client and not outlast their mean"

    def unfit(self, backbone: Backbone) -> Iterator[str]:
        """Yield each reason why no technique like this can work on `backbone`, whatever came before."""
        kind = backbone.model_dump()["kind"]
        quantizable = backbone.runtime == "litert"
        if self.shapes_file and not quantizable:
            yield f"a {kind} backbone that takes strings has no LiteRT file: use it as a teacher for distillation"
        elif not self.takes_whole() and not backbone.compressible:
            rest = ", or quantize it whole" if quantizable else ""
            yield f"a {kind} module is a black box to TFMOT: use it as a teacher for distillation{rest}"

    def reshape(self, model: Any, context: Context) -> Reshaped:
        """Return `model`, a plain Keras one with its weights, with other layers; called once, by worker 0 alone."""
        raise NotImplementedError

    def prepare(self, model: Any, context: Context) -> Training:
        """Return what is trained: `model` with the technique's layers and hooks around it; called in engine scope."""
        raise NotImplementedError

    def finish(self, training: Training) -> dict[str, Any]:
        """Return the trained weights by name, free of what `prepare` put around them."""
        raise NotImplementedError

    def lower(self, converter: Any, context: Context) -> None:
        """Set the LiteRT converter's options for the technique."""

    def rework(self, file: bytes, context: Context) -> bytes:
        """Return the converted file, changed by what the converter cannot do."""
        return file

    def skips(self, model: Any, file: bytes) -> Iterator[Skipped]:
        """Name each layer of the plain `model` that the technique left out, in training or in the file."""
        yield from ()

    def drift(self) -> float:
        """Return how far it may move the file's logits from the float model's, as a share of their size.

        What shapes the file rounds, and is held to this alone: of a file that says the same of every row it would be 1.
        """
        return ROUNDED if self.shapes_file else 0.0

    def promise(self, before: Mapping[str, Any], after: Mapping[str, Any], file: bytes | None) -> Iterator[Finding]:
        """Compare weights by name before and after, and the file once there is one, with what was promised."""
        yield from ()


class Teaches(Technique):
    """A technique that ends in another model, the student, which learns from the one so far."""

    @abstractmethod
    def learner(self) -> ModelSpec:
        """Return the student."""

    def matches_features(self) -> bool:
        """Say whether the teacher is asked for its features too, not for its logits alone."""
        return False

    @abstractmethod
    def judged(self, taught: Any, found: Any, classes: int) -> Iterator[Finding]:
        """Judge what the student says of validation rows by what the teacher did.

        Both are `float32[rows, classes]`; where features are matched, these come behind the logits.
        """
