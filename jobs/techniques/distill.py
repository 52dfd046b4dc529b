"""Knowledge distillation: a small model learns from the softened answers of a large one (Hinton et al., 2015)."""

from __future__ import annotations

from collections.abc import Iterator, Sequence
from pathlib import Path
from typing import Annotated, Any, ClassVar, Literal, Self

from pydantic import Field

from jobs.artifacts import UNSERVABLE, Finding
from jobs.fit import Softening, Training
from jobs.models.backbone import Backbone
from jobs.models.model import ModelSpec, weights_of
from jobs.recipe import Recipe
from jobs.strategies.strategy import Strategy
from jobs.techniques.technique import Context, Teaches, Technique


class Distill(Recipe, Teaches):
    """Train `student` on the teacher's logits and the labels; the model so far is the teacher.

    The loss of a row is (1-α)·cross-entropy + α·T²·KL(teacher ‖ student), both softened by the temperature T. The
    teacher answers once, for all rows, before the student starts: `augment` changes what the student reads, not what
    the teacher said of the row.
    """

    kind: Literal["distill"] = "distill"
    whole: ClassVar[bool] = True
    student: ModelSpec
    temperature: Annotated[float, Field(ge=1, le=100)] = 4.0
    alpha: Annotated[float, Field(gt=0, le=1, description="Weight of the teacher's answers beside the labels")] = 0.7
    agreement: Annotated[
        float, Field(ge=0, le=1, description="Share of validation rows in which the student must agree")
    ] = 0.0

    def recipe(self) -> Recipe:
        """Return how the student is trained."""
        return self

    def located(self, root: Path) -> Self:
        """Take the paths the student starts from from `root`."""
        backbone = self.student.backbone.located(root)
        return self.model_copy(update={"student": self.student.model_copy(update={"backbone": backbone})})

    def learner(self) -> ModelSpec:
        """Return the student."""
        return self.student

    def legal(self, before: Sequence[Technique], backbone: Backbone, strategy: Strategy) -> Iterator[str]:
        """Refuse what would be lost, and a student of rows the teacher does not read."""
        if self.student.backbone.runtime != "litert":
            yield f"the student {UNSERVABLE}"
        if before:
            yield "distill starts another model, and what stands before it is lost; put distill first"
        if self.student.backbone.modality != backbone.modality:
            yield f"the student reads {self.student.backbone.modality} rows, its teacher {backbone.modality} rows"
        if any(kind.mixes for kind in self.augment):
            yield "the teacher answers for single rows, and augment mixes them; leave the mixing out"

    def uncarried(self) -> Iterator[str]:
        """Yield nothing: the teacher answers for any rows where they lie."""
        yield from ()

    def prepare(self, model: Any, context: Context) -> Training:
        """Return the student as it is, with the blended loss."""
        from jobs.optimizers import optimizer_of

        softening = Softening(self.alpha, self.temperature)
        return Training(model, optimizer_of(self, context.train_steps), self.seed, softening=softening)

    def finish(self, training: Training) -> dict[str, Any]:
        """Return the student's weights."""
        return weights_of(training.model)

    def agreed(self, share: float) -> Finding:
        """Hold the student to the agreement that was asked for."""
        return Finding(
            technique="distill",
            what="agreement with the teacher on validation rows",
            promised=f">= {self.agreement:g}",
            measured=f"{share:.4f}",
            kept=share >= self.agreement,
        )
