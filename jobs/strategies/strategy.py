"""What a strategy is: what it holds of the cluster, and the engine that drives training in each of its workers."""

from __future__ import annotations

from collections.abc import Callable, Iterator, Mapping, Sequence
from contextlib import contextmanager
from dataclasses import dataclass
from typing import Annotated, Any, ClassVar, Protocol

from pydantic import AfterValidator, Field
from pydantic_core import PydanticCustomError

from cluster.resources import ACCELERATOR, Resources
from jobs.artifacts import Timing
from jobs.models.backbone import Backbone
from jobs.models.sharding import Sharding
from jobs.recipe import Recipe
from jobs.spec import INCIDENTAL, Choice

IDLE = 0.05  # of a GPU that may stay unused where processes share it: a third may be written 0.33


def _shared(gpus: float) -> float:
    """Return `gpus`, of which processes can be made to fill a GPU, or that are whole."""
    if gpus > 1 and gpus != int(gpus):
        raise PydanticCustomError("gpus", "is more than one GPU and not whole: take whole ones, or a share of one")
    if 0 < gpus < 1:
        sharing = int(1 / gpus + 1e-9)
        if 1 - sharing * gpus > IDLE + 1e-9:
            text = "leaves {idle} of each GPU unused: {sharing} at once on it could have {share} each"
            found = {"idle": f"{1 - sharing * gpus:.2g}", "sharing": str(sharing), "share": f"{1 / sharing:.3g}"}
            raise PydanticCustomError("gpus", text, found)
    return gpus


LABEL = r"[A-Za-z0-9]([A-Za-z0-9_.-]{0,61}[A-Za-z0-9])?"  # Kubernetes' rule, which is Ray's
Label = Annotated[str, Field(pattern=f"^{LABEL}$")]
LABEL_NAME = rf"([a-z0-9.-]{{1,253}}/)?{LABEL}"
LabelName = Annotated[str, Field(pattern=f"^{LABEL_NAME}$")]
Gpus = Annotated[float, Field(ge=0, description="Whole GPUs, or a share of one"), AfterValidator(_shared)]


class Engine(Protocol):
    """Drives train steps in one worker: how they are run and summed, and how weights are read and restored.

    Every method is called by all workers at the same point, in the same order.
    """

    replicas: int  # over all workers
    local: int  # in this worker
    first: int  # the global number of this worker's first replica

    def scope(self) -> Any:
        """Return the context in which variables are made."""

    def held(self, dataset: Any, split: str) -> Any:
        """Return the data set of which this worker reads the rows of `split`: the whole one unless rows have owners."""

    def steps(self, feed: Any) -> int:
        """Return how many train steps an epoch over `feed` has: one where it is a round that nothing interrupts."""

    def train(self, training: Any, feed: Any, first: int, last: int) -> tuple[float, float, float]:
        """Run train steps `first` … `last`-1; return the sums of loss, correct rows and rows over all workers.

        An epoch is asked for in one call or in several, as checkpoints fall due.
        """

    def evaluate(self, training: Any, feed: Any) -> tuple[float, float, float]:
        """Return the sums of loss, correct rows and rows over `feed`, each row counted once."""

    def predict(self, model: Any, feed: Any) -> Any:
        """Return the logits `float32[rows, classes]` of every row of `feed`, in its order, in all workers."""

    def first_bad_step(self) -> int | None:
        """Return the first train step of the last `train` whose loss was not finite in any replica."""

    def timing(self) -> Timing | None:
        """Return where the time in `train` went since this was last asked, None where that is not measured."""
        return None

    def facts(self) -> dict[str, float]:
        """Return what this strategy alone can tell of `train` since this was last asked, by name."""
        return {}

    def read(self, training: Any) -> dict[str, Any]:
        """Return weights and optimizer state as arrays by name."""

    def restore(self, training: Any, arrays: dict[str, Any]) -> None:
        """Put arrays that `read` returned back; what is left out stays as it is."""


@dataclass(frozen=True)
class Place:
    """What an engine is given where it runs: the name of the gang it may start, and whom it tells (JSON values)."""

    name: str
    tell: Callable[[dict[str, Any]], None]


class Strategy(Choice):
    """The family of strategies. `workers` processes of equal size train one model.

    Without a coordinator, each of them is a worker of Ray Train. With one, it is Ray Train's only worker, and starts
    the others as a gang of its own (`cluster/gang.py`).
    """

    needs_cluster_config: ClassVar[bool] = False  # the processes find each other by `environment`
    has_coordinator: ClassVar[bool] = False
    divides_models: ClassVar[bool] = False  # a model may be too large for a worker to hold as a whole
    own_rows: ClassVar[bool] = False  # a worker reads training rows of its own, which no other may know of
    whole_epochs: ClassVar[bool] = False  # `train` takes an epoch in one call: no checkpoint is kept within one
    precisions: ClassVar[tuple[str, ...]] = ("float32", "mixed_bfloat16", "mixed_float16")  # that it trains in

    workers: Annotated[int, Field(ge=1, le=4096, description="Worker processes")] = 1
    cpus_per_worker: Annotated[float, INCIDENTAL, Field(gt=0)] = 1.0
    gpus_per_worker: Annotated[Gpus, INCIDENTAL] = 0.0
    accelerator: Annotated[Label | None, INCIDENTAL, Field(description="Type of their GPUs, as Ray names it: A100")] = (
        None
    )
    memory: Annotated[int | None, INCIDENTAL, Field(ge=2**20, description="Bytes of its node's that each holds")] = None
    labels: Annotated[dict[LabelName, Label], INCIDENTAL, Field(description="Labels that the workers' nodes have")] = {}

    def of_worker(self) -> Resources:
        """Return what each worker holds, and the labels its node must have."""
        accelerator = {} if self.accelerator is None else {ACCELERATOR: self.accelerator}
        labels = tuple(sorted({**accelerator, **self.labels}.items()))
        return Resources(self.cpus_per_worker, self.gpus_per_worker, self.memory or 0, labels)

    def having(self, workers: int) -> Strategy:
        """Return it with another number of workers; ValidationError when it cannot have as many."""
        return type(self).model_validate(self.model_dump(mode="json") | {"workers": workers})

    def resources(self) -> Resources:
        """Return what all workers hold together."""
        return self.of_worker().times(self.workers)

    def train_workers(self) -> int:
        """Return how many workers Ray Train starts."""
        return 1 if self.has_coordinator else self.workers

    def most_train_workers(self) -> int:
        """Return how many workers Ray Train may start where the cluster has room."""
        return self.train_workers()

    def looks_for_room_every(self) -> float:
        """Return the seconds between two looks whether there is room for more workers."""
        return 60.0

    def train_resources(self) -> Resources:
        """Return what each worker of Ray Train holds."""
        return self.of_worker()

    def processes(self) -> list[Resources]:
        """Return what each process holds; all of them must be there at once."""
        return [self.train_resources()] * self.train_workers()

    def train_worker(self, rank: int) -> str:
        """Name the worker of Ray Train in errors."""
        return "the coordinator" if self.has_coordinator else f"worker {rank} of {self.workers}"

    def variables(self) -> dict[str, str]:
        """Return environment variables that the workers of Ray Train start with, beside those all have."""
        return {}

    def gpu_memory_mb(self) -> int | None:
        """Return how much of each GPU's memory a worker may take; None: as it comes to need it."""
        return None

    def memory_limit(self) -> int | None:
        """Return the bytes that tensors may take in a worker of Ray Train; None for what there is."""
        return None

    def environment(self, addresses: list[str], rank: int) -> dict[str, str]:
        """Return the variables by which the process of `rank` finds the others, which are to listen on `addresses`.

        Each holds its port until its engine releases it (`cluster/ports.py`).
        """
        return {}

    def engine(self) -> Engine:
        """Make the engine, in a worker, before anything else of TensorFlow runs there."""
        raise NotImplementedError

    @contextmanager
    def driving(self, place: Place) -> Iterator[Engine]:
        """Hold the engine, and what it needs of the cluster beside its own process, for the length of a block."""
        yield self.engine()

    def drive(self, work: Any, keeper: Any, name: str) -> None:
        """Do `work` in this worker of Ray Train with the engine and its keeper; a gang it starts is called `name`."""
        with self.driving(Place(name, keeper.tell)) as engine:
            work(engine, keeper)

    def cannot_carry(self, technique: Any) -> Iterator[str]:
        """Yield each reason why a step of this strategy cannot carry a compression technique."""
        yield from ()

    def hides_speed(self) -> str:
        """Say why it does not tell how many rows an epoch trained on; empty where it does."""
        return ""

    def needs_owners(self) -> bool:
        """Say whether the data set must tell whose each row is."""
        return False

    def problems(self, batch_size: int) -> Iterator[str]:
        """Yield what is wrong with training on global batches of `batch_size` rows."""
        if batch_size < self.workers:
            yield f"{batch_size} rows a global batch cannot feed {self.workers} workers"

    def too_whole(self, rule: Sharding, shapes: Mapping[str, Sequence[int]]) -> str:
        """Say why a model of variables of these names and shapes cannot be trained; empty where it can."""
        return ""

    def refuses(self, backbone: Backbone, recipe: Recipe) -> Iterator[str]:
        """Yield each reason why `backbone` cannot be trained as `recipe` says under this strategy."""
        yield from ()


class Limited(Strategy):
    """The strategies that hold a worker's tensors to a limit."""

    memory_per_worker: Annotated[
        int | None, INCIDENTAL, Field(ge=2**20, description="Bytes that tensors may take in a worker at once")
    ] = None

    def memory_limit(self) -> int | None:
        """Return `memory_per_worker`."""
        return self.memory_per_worker

    def gpu_memory_mb(self) -> int | None:
        """Return the limit in MiB."""
        return None if self.memory_per_worker is None else self.memory_per_worker >> 20
