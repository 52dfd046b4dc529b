"""Low-rank factorisation: a layer becomes two smaller ones whose product is close to it (Denton et al., 2014)."""

from __future__ import annotations

from typing import Annotated, Literal, Self

from pydantic import Field, model_validator
from pydantic_core import PydanticCustomError

from jobs.techniques.reshaping import Reshaping
from jobs.techniques.technique import Context, Reshaped

Form = Literal["dense", "embeddings", "convolutions"]
ENERGY = 0.9


class Factorize(Reshaping):
    """Bring kernels to `rank`, or to the least rank that keeps this share of their `energy`; then fine-tune.

    The energy of a kernel is the sum of its squared singular values. A layer that would not become smaller stays as it
    is. Dense layers and convolutions get a bias only behind the second factor; an embedding becomes a narrower one and
    a product, which multiplies where there was only a look-up.
    """

    kind: Literal["factorize"] = "factorize"
    energy: Annotated[
        float | None, Field(gt=0, lt=1, description=f"Share that is kept of each kernel's; default {ENERGY:g}")
    ] = None
    rank: Annotated[int | None, Field(ge=1, le=65_536, description="Instead of energy: the same for all layers")] = None
    layers: Annotated[list[Form], Field(min_length=1, description="Which may become two")] = [
        "dense", "embeddings", "convolutions",
    ]  # fmt: skip

    @model_validator(mode="after")
    def _by_one_measure(self) -> Self:
        if self.energy is not None and self.rank is not None:
            raise PydanticCustomError("rank", "sets energy and rank; set one")
        return self

    def reshape(self, model: object, context: Context) -> Reshaped:
        """Factorise; the promise is that the model is smaller, and as close as was asked for."""
        from jobs.models.rewriting.shrinking import at_low_rank

        energy = self.energy or ENERGY if self.rank is None else None
        found, made = at_low_rank(model, self.layers, self.rank, energy)
        promised = f">= {energy:g} of the energy" if energy else f"<= {self.rank}"
        findings = [
            self.finding(
                "rank",
                promised,
                f"{one.rank} of {one.full}, {one.energy:.4f} of the energy",
                one.energy >= energy - 1e-9 if energy else one.rank <= (self.rank or 0),
                one.layer,
            )
            for one in found
        ]
        changed = self.finding("layers that became two", ">= 1", f"{len(found)}", bool(found))
        return Reshaped(made.rewrites, made.weights, [changed, *self.shrunk(made), *findings])
