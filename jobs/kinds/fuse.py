"""The `fuse` job: several models of the same data become one."""

from __future__ import annotations

from collections.abc import Iterator, Mapping, Sequence
from typing import Annotated, Any, Literal

from pydantic import Field

from cluster.resources import Resources
from jobs.artifacts import Dataset, Model
from jobs.fusing.methods import FuseMethod
from jobs.job import Inputs, Job, Output, mismatch
from jobs.spec import INCIDENTAL, Path, Ref, references
from jobs.strategies.imports import TRAINING


class Fuse(Job):
    """Make one Model of `models`, its members, choosing on validation rows alone.

    Members enter by their float32 weights. An ensemble is served as one file that holds them all; a soup is as small
    as one member. Either is compressed, or is a teacher, like any other model.
    """

    job: Literal["fuse"] = "fuse"
    produces = Model
    imports = TRAINING

    models: Annotated[list[Annotated[str, Ref(Model)]], Field(min_length=1, max_length=64)]
    data: Annotated[str, Ref(Dataset)]
    method: FuseMethod = Field(default_factory=lambda: FuseMethod.choose({"kind": "average"}))
    keep: Annotated[int, INCIDENTAL, Field(ge=1, le=1000, description="Checkpoints kept, where it trains")] = 2

    @property
    def retries_itself(self) -> bool:  # type: ignore[override]
        """Whether the method trains, in workers that are started again."""
        return self.method.trains

    def resources(self) -> Resources:
        """Return what the method holds."""
        return self.method.resources()

    def processes(self) -> list[Resources]:
        """Return what each of the method's processes holds."""
        return self.method.processes()

    def problems(self, steps: Mapping[str, Job]) -> Iterator[tuple[Path, str]]:
        """Check that the members go together: one kind of rows, the same data set, what the method needs of them."""
        fewest, most = self.method.fewest, self.method.most
        if not fewest <= len(self.models) <= most:
            wanted = f"{fewest}" if fewest == most else f"{fewest} to {most}"
            yield ("models",), f"has {len(self.models)}, and {self._kind()} takes {wanted}"
        for index, name in enumerate(self.models):
            yield from ((("models", index), text) for text in self._member_problems(steps, index, name))
        specs = self._specs(steps)
        if specs is not None:
            yield from self.method.problems(specs)

    def _member_problems(self, steps: Mapping[str, Job], index: int, name: str) -> Iterator[str]:
        if name in self.models[:index]:
            yield f"'{name}' is a member already"
        yield from (text for _, text in mismatch((), steps, name, self.data))
        others = [found for _, found, wanted in references(steps[name]) if wanted is Dataset and found != self.data]
        if others:
            yield (
                f"'{name}' learnt from step '{others[0]}', not '{self.data}': "
                "its classes may be others, and rows that members are chosen on may be among those it learnt from"
            )
        spec = steps[name].model_spec(steps)
        if spec is not None and not spec.backbone.compressible:
            yield f"'{name}' is kept whole: its layers cannot be joined to others'; distill it, and fuse the student"

    def _specs(self, steps: Mapping[str, Job]) -> Sequence[Any] | None:
        """Return the members' specs; None where the definition does not tell them all, or they do not go together."""
        specs = [steps[name].model_spec(steps) for name in self.models if name in steps]
        known = len(specs) == len(self.models) and all(spec is not None for spec in specs)
        together = known and len({spec.backbone.modality for spec in specs}) == 1
        return specs if together and all(spec.backbone.compressible for spec in specs) else None

    def model_spec(self, steps: Mapping[str, Job]) -> Any:
        """Return the spec of what comes out, where those of all members are known."""
        specs = self._specs(steps)
        return self.method.spec(specs) if specs else None

    def run(self, inputs: Inputs, out: Output) -> Model:
        """Fuse on the cluster."""
        from jobs.fusing.methods.method import Fusing

        members = {name: inputs[name].folder for name in self.models}
        self.method.run(Fusing(members, inputs[self.data].folder, out.folder), out, self)
        return Model.load(out.folder)

    def _kind(self) -> str:
        return str(self.method.model_dump()["kind"])
