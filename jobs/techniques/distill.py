"""Knowledge distillation: a small model learns from the softened answers of a large one (Hinton et al., 2015).

It may learn from the teacher's features too (FitNets: Romero et al., 2015).
"""

from __future__ import annotations

from collections.abc import Iterator, Sequence
from pathlib import Path
from typing import Annotated, Any, ClassVar, Literal, Self

from pydantic import Field

from jobs.artifacts import UNSERVABLE, Finding
from jobs.fit import Training
from jobs.models.backbone import Backbone
from jobs.models.model import ModelSpec, weights_of
from jobs.recipe import Recipe
from jobs.strategies.strategy import Strategy
from jobs.teaching.features import with_features, without_projection
from jobs.teaching.softening import Softening
from jobs.techniques.technique import Context, Teaches, Technique


class Distill(Recipe, Teaches):
    """Train `student` on the teacher's logits and the labels; the model so far is the teacher.

    The loss of a row is (1-α)·cross-entropy + α·T²·KL(teacher ‖ student), both softened by the temperature T. With
    `features` the mean squared difference between what the heads of both read is added, times this weight; where the
    teacher's features are wider or narrower, those of the student go through a dense layer that learns and is left out
    in the end.

    The teacher answers once, for all rows, and its answers are kept for every epoch and attempt. That is right only of
    rows as they are: `augment` changes what the student reads, not what the teacher said of the row.
    """

    kind: Literal["distill"] = "distill"
    whole: ClassVar[bool] = True
    student: ModelSpec
    temperature: Annotated[float, Field(ge=1, le=100)] = 4.0
    alpha: Annotated[float, Field(gt=0, le=1, description="Weight of the teacher's answers beside the labels")] = 0.7
    features: Annotated[
        float,
        Field(ge=0, le=1_000, description="Weight of the distance between both models' features; 0: not asked for"),
    ] = 0.0
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
        for name, model in (("student", self.student.backbone), ("teacher", backbone)):
            if self.features and model.several_heads:
                kind = model.model_dump()["kind"]
                yield f"the {name}'s {kind} has several models' features, none to be matched; leave features out"
        if any(kind.mixes for kind in self.augment):
            yield "the teacher answers for single rows, and augment mixes them; leave the mixing out"

    def uncarried(self) -> Iterator[str]:
        """Yield nothing: the teacher answers for any rows where they lie."""
        yield from ()

    def matches_features(self) -> bool:
        """Say whether the teacher is asked for its features too."""
        return self.features > 0

    def prepare(self, model: Any, context: Context) -> Training:
        """Return the student with the blended loss; where features are matched, with its own behind its logits."""
        from jobs.optimizers import optimizer_of

        softening = Softening(self.alpha, self.temperature, self.features)
        classes = None
        if self.features:
            classes = int(model.output_shape[-1])
            model = with_features(model, context.taught - classes, self.seed)
        optimizer = optimizer_of(self, context.train_steps)
        return Training(model, optimizer, self.seed, softening=softening, classes=classes)

    def finish(self, training: Training) -> dict[str, Any]:
        """Return the student's weights."""
        return without_projection(weights_of(training.model))

    def judged(self, taught: Any, found: Any, classes: int) -> Iterator[Finding]:
        """Hold the student to the agreement that was asked for, and tell how much of the teacher's features it has."""
        share = float((found[:, :classes].argmax(1) == taught[:, :classes].argmax(1)).mean())
        yield Finding(
            technique="distill",
            what="agreement with the teacher on validation rows",
            promised=f">= {self.agreement:g}",
            measured=f"{share:.4f}",
            kept=share >= self.agreement,
        )
        if self.features:
            wanted = taught[:, classes:]
            left = float(((wanted - found[:, classes:]) ** 2).mean())
            spread = float(((wanted - wanted.mean(0)) ** 2).mean())
            explained = 1 - left / spread if spread else 0.0
            what = "share of the variance of the teacher's features that the student's explain, on validation rows"
            yield Finding(technique="distill", what=what, measured=f"{explained:.4f}")
