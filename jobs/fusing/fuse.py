"""What the process of a fuse step does: load the members, fuse them, judge and write what came of it."""

from __future__ import annotations

from typing import Any

from cluster.work import Channel
from jobs.artifacts import Epoch
from jobs.fusing.members import Members, measured
from jobs.fusing.methods.method import FuseMethod, Fusing, Made
from jobs.fusing.record import Fused, Ingredient
from jobs.product import Product, golden_of, write_model
from jobs.runtime.calibration import fit_temperature
from jobs.strategies import DEFAULT
from jobs.strategies.devices import set_up_devices
from jobs.strategies.strategy import Strategy
from jobs.techniques import Technique

SHOWN = 3  # digits of weights and shares that are told


def fuse(method: FuseMethod, work: Fusing, tell: Channel) -> None:
    """Fuse in a process of its own, which holds what `method` asks for."""
    set_up_devices(method.resources().cpus)
    fuse_here(method, work, tell)


def fuse_here(method: FuseMethod, work: Fusing, tell: Any) -> None:
    """Fuse the members by `method` and leave the Model artifact."""
    members = Members(work, DEFAULT.engine())
    for warning in losses(members):
        tell({"warning": warning})
    tell({"start": "fusing", "members": len(members)})
    write(method, members, method.fuse(members), work, DEFAULT, tell)


def losses(members: Members) -> list[str]:
    """Say of which members the served file is not what is fused: it was shaped after their weights."""
    found = []
    for name, model in zip(members.names, members.models, strict=True):
        shaping = [link["kind"] for link in model.chain if Technique.choose(link).shapes_file]
        if shaping:
            found.append(f"'{name}' is fused by its float32 weights, without {', '.join(shaping)}: compress the result")
    return found


def write(
    method: FuseMethod,
    members: Members,
    made: Made,
    work: Fusing,
    strategy: Strategy,
    tell: Any,
    history: list[Epoch] | None = None,
) -> None:
    """Judge the fused model on validation rows, beside its members, and write it."""
    labels = members.labels
    logits = members.answers(made.spec, made.weights, made.rewrites)
    accuracy, loss = measured(logits, labels, fit_temperature(logits, labels))
    each = [measured(z, labels, m.temperature) for z, m in zip(members.logits, members.models, strict=True)]
    record = Fused(
        method=method.model_dump(mode="json"),
        members=[
            Ingredient(step=name, accuracy=found[0], loss=found[1], weight=share)
            for name, found, share in zip(members.names, each, made.shares, strict=True)
        ],
        accuracy=accuracy,
        loss=loss,
        rows=len(labels),
    )
    told = {member.step: [round(member.weight, SHOWN), round(member.accuracy, SHOWN)] for member in record.members}
    tell({"fused": told, "validation accuracy": round(accuracy, SHOWN)})
    if accuracy < (best := max(member.accuracy for member in record.members)):
        tell({"warning": f"the fused model has {accuracy:.4f} on validation rows, its best member {best:.4f}"})
    tell({"start": "converting"})
    first = members.models[0]
    product = Product(
        made.spec, first.preprocess, members.dataset.classes, made.weights, strategy, golden_of(members.dataset),
        {}, rewrites=tuple(made.rewrites), fused=record,
    )  # fmt: skip
    write_model(work.out, members.paths[0], product, history or [], members.dataset)
