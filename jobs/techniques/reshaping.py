"""What techniques share that change a model's layers and then let it train on: when they may, and what they show."""

from __future__ import annotations

from collections.abc import Iterator, Sequence
from typing import TYPE_CHECKING, Annotated, Any, ClassVar

from pydantic import Field

from jobs.artifacts import Finding
from jobs.models.backbone import Backbone
from jobs.models.model import weights_of
from jobs.recipe import Recipe
from jobs.strategies.strategy import Strategy
from jobs.techniques.technique import Context, Technique

if TYPE_CHECKING:
    from jobs.fit import Training
    from jobs.models.rewriting.shrinking import Smaller


class Reshaping(Recipe, Technique):
    """The base: other layers first, then `epochs` of fine-tuning, if any, on any strategy that trains the backbone."""

    whole: ClassVar[bool] = True
    reshapes: ClassVar[bool] = True
    epochs: Annotated[int, Field(ge=0, le=100_000, description="Of fine-tuning afterwards; 0: none")] = 4

    def recipe(self) -> Recipe | None:
        """Return the fine-tuning's recipe, None when there is none."""
        return self if self.epochs else None

    def legal(self, before: Sequence[Technique], backbone: Backbone, strategy: Strategy) -> Iterator[str]:
        """Refuse it twice, and refuse to change layers whose weights or file were shaped already."""
        kind = self._kind()
        if any(type(technique) is type(self) for technique in before):
            yield f"the chain has {kind} already; set one"
        for technique in before:
            other = technique.model_dump()["kind"]
            if technique.shapes_file:
                yield f"layers cannot change once the file is made by {other}; put {kind} before {other}"
            elif not technique.whole:
                yield f"other layers have other weights, and what {other} made of these is lost; put {kind} first"

    def unfit(self, backbone: Backbone) -> Iterator[str]:
        """Refuse a backbone whose layers are not ours."""
        if not backbone.compressible:
            kind = backbone.model_dump()["kind"]
            yield f"the layers of a {kind} module are its own: use it as a teacher for distillation"

    def prepare(self, model: Any, context: Context) -> Training:
        """Return the smaller model, to be trained on as it is."""
        from jobs.fit import Training
        from jobs.optimizers import optimizer_of

        return Training(model, optimizer_of(self, context.train_steps), self.seed)

    def finish(self, training: Training) -> dict[str, Any]:
        """Return the trained weights."""
        return weights_of(training.model)

    def _kind(self) -> str:
        return str(self.model_dump()["kind"])

    def finding(self, what: str, promised: str, measured: str, kept: bool = True, layer: str = "") -> Finding:
        """Return a finding of this technique."""
        return Finding(technique=self._kind(), what=what, promised=promised, measured=measured, kept=kept, layer=layer)

    def shrunk(self, made: Smaller) -> Iterator[Finding]:
        """Yield what a model cost before and costs now: its parameters must be fewer, its multiplications are told."""
        before, after = made.before, made.after
        fewer = after.parameters < before.parameters
        yield self.finding("parameters", f"< {before.parameters:,}", f"{after.parameters:,}", fewer)
        yield self.finding("multiplications (MACs)", "", f"{after.macs:,}, before {before.macs:,}")
