"""Structured pruning: whole channels, neurons and attention heads go, and dense smaller layers are left."""

from __future__ import annotations

from collections.abc import Iterator, Sequence
from typing import Annotated, Literal

from pydantic import Field

from jobs.models.backbone import Backbone
from jobs.strategies.strategy import Strategy
from jobs.techniques.reshaping import Reshaping
from jobs.techniques.technique import Context, Reshaped, Technique

Unit = Literal["channels", "neurons", "heads", "columns"]


class PruneStructured(Reshaping):
    """Take the least important units out, until the cost `of` the model is `keep` of what it was; then fine-tune.

    What is left is an ordinary smaller model, faster on every runtime. Units are channels of convolutions, neurons of
    dense layers, attention heads, and columns of embeddings. Those that are added to others, as residual connections
    do, stay. `importance` is the L1 or L2 norm of a unit's weights (Li et al., 2017), the scale of the batch
    normalisation behind it (Liu et al., 2017), or what its absence would do to the loss on `rows` training rows by a
    first-order Taylor expansion (Molchanov et al., 2019). `scope` takes the same share of every layer, or the least
    important of the whole model.
    """

    kind: Literal["prune_structured"] = "prune_structured"
    keep: Annotated[float, Field(gt=0, lt=1, description="Share of the cost that is left, or less")] = 0.5
    of: Annotated[
        Literal["macs", "parameters", "bytes"],
        Field(description="Multiplications a row, parameters, or bytes of the float32 file's weights"),
    ] = "macs"
    importance: Literal["l1", "l2", "bn_scale", "taylor"] = "l1"
    scope: Literal["per_layer", "global"] = "per_layer"
    units: Annotated[list[Unit] | None, Field(min_length=1, description="What may go; default: all there is")] = None
    multiple: Annotated[
        int, Field(ge=1, le=64, description="Layers come to multiples of so many units; processors like 8")
    ] = 1
    rows: Annotated[int, Field(ge=1, le=100_000, description="Training rows that taylor looks at")] = 512

    def legal(self, before: Sequence[Technique], backbone: Backbone, strategy: Strategy) -> Iterator[str]:
        """Refuse also units that the backbone has none of, and scales that it does not learn."""
        yield from super().legal(before, backbone, strategy)
        kind, units = backbone.model_dump()["kind"], backbone.removable
        for unit in self.units or []:
            if units and unit not in units:
                yield f"{kind} has no {unit} that could go; it has {', '.join(units)}"
        if self.importance == "bn_scale" and not backbone.normalises_batches:
            yield f"{kind} has no batch normalisation whose scale could tell; take l1, l2 or taylor"

    def unfit(self, backbone: Backbone) -> Iterator[str]:
        """Refuse also a backbone all of whose units are bound to others."""
        yield from super().unfit(backbone)
        if backbone.compressible and not backbone.removable:
            kind = backbone.model_dump()["kind"]
            yield f"every channel of {kind} is added to or multiplied with others, and none can go; take factorize"

    def uncarried(self) -> Iterator[str]:
        """Refuse what looks at rows: only clients read them."""
        if self.importance == "taylor":
            yield "judges units on training rows, which only clients read; take l1 or l2"

    def reshape(self, model: object, context: Context) -> Reshaped:
        """Take units out; the promise is on the layers that are left."""
        from jobs.models.rewriting.shrinking import without_units

        labelled = context.labelled
        assert labelled is not None, "a chain brings labelled rows"
        kinds = self.units or ["channels", "neurons", "heads", "columns"]
        asked = (self.importance, self.scope, self.of, self.keep)
        made = without_units(model, kinds, *asked, lambda: labelled(self.rows), self.multiple)
        share = getattr(made.after, self.of) / getattr(made.before, self.of)
        what = f"share of {self.of} that is left"
        reached = self.finding(what, f"<= {self.keep:g}", f"{share:.4f}", share <= self.keep)
        return Reshaped(made.rewrites, made.weights, [reached, *self.shrunk(made)])
