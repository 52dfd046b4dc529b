"""`espalier bench-strategy`: how fast a train step goes with several numbers of workers."""

from __future__ import annotations

import json
from collections.abc import Callable, Mapping
from typing import TYPE_CHECKING, Annotated, Any

import typer

from cluster.errors import ClusterError, RequestError
from cluster.folder import Folder
from cluster.resources import Capacity
from cluster.session import address_of, capacity
from jobs.artifacts import Dataset, Scaling, Speed
from jobs.kinds.train import Train
from pipelines.commands.app import RUNS, Address, Definition, Sets, StoreAt, app, example, loaded, opened, shown
from pipelines.commands.completing import steps
from pipelines.commands.ends.stopping import STOPPED, at_work
from pipelines.console import Lines, columns, say
from pipelines.language.mistakes import suggest_or_list
from pipelines.plan import REMEDY, Planned
from pipelines.plan import plan as planned_of

if TYPE_CHECKING:
    from jobs.scaling import Bench

HEADINGS = ("workers", "rows/s", "efficiency", "p50 of a train step", "in input", "in communication")
PAGE, ABSENT = "page", "-"
Teller = Callable[[str], Callable[[dict[str, Any]], None]]


@app.command(epilog=example("espalier bench-strategy pipelines/definitions/quickstart.yaml teacher --workers 1,2"))
def bench_strategy(
    definition: Definition,
    step: Annotated[
        str, typer.Argument(metavar="STEP", help="A train step; the data it reads must be made", autocompletion=steps)
    ],
    workers: Annotated[str, typer.Option(metavar="N,N", help="Numbers of workers")] = "1,2",
    steps: Annotated[int, typer.Option(min=1, help="Train steps timed at least: whole epochs, after the first")] = 100,
    out: Annotated[str | None, typer.Option(help="Folder or URI of the result; else bench/DEFINITION-STEP")] = None,
    page: Annotated[bool, typer.Option("--page", help="Write report.html beside the result")] = False,
    sets: Sets = None,
    store: StoreAt = RUNS,
    address: Address = None,
    as_json: Annotated[bool, typer.Option("--json", help="Print the result as JSON")] = False,
) -> None:
    """Train STEP for a short while with each number of workers, and say how its speed grows; no step is made."""
    pipeline = loaded(definition, sets)
    job, data = _asked(planned_of(pipeline, opened(store)), step, pipeline.name)
    numbers = _numbers(step, job, workers)
    if address_of(address) is None:
        _check_capacity(step, job, numbers, capacity(address))
    place = Folder.parse(out or f"bench/{pipeline.name}-{step}")
    place.check_writable()
    from jobs.scaling import Bench

    bench = Bench(step, job, data, steps, place)
    made = _run(bench, numbers, page, address, _teller([_named(number) for number in numbers], as_json))
    if as_json:
        say(json.dumps(made.model_dump(mode="json"), indent=1))
        return
    for line in columns([HEADINGS, *map(_row, made.speeds)]):
        say(line)
    say(f"written: {shown(place)}/{'report.html' if page else 'artifact.json'}")


def _asked(planned: Mapping[str, Planned], step: str, name: str) -> tuple[Train, Dataset]:
    """Return the train step and the data it reads; RequestError when it cannot be timed, or the data is not made."""
    if step not in planned:
        raise RequestError(name, f"has no step '{step}'{suggest_or_list(step, planned)}")
    job = planned[step].job
    if not isinstance(job, Train):
        raise RequestError(f"step '{step}'", "is no train step", "one")
    if reason := job.strategy.hides_speed():
        raise RequestError(f"step '{step}'", f"cannot be timed: {reason}", remedy="leave that out to time it")
    data = planned[job.data]
    if data.record is None:
        raise RequestError(f"step '{job.data}'", "is not made", remedy=f"'{step}' reads it: run the definition first")
    return job, Dataset.load(data.place.artifact(data.record))


def _numbers(step: str, job: Train, text: str) -> list[int]:
    """Return the numbers of workers, fewest first; RequestError when the strategy cannot have one of them."""
    from jobs.scaling import under

    parts = text.split(",")
    if not all(part.isdecimal() and int(part) for part in parts):
        raise RequestError(f"--workers {text}", "is no list of numbers", "one such as 1,2,4")
    numbers = sorted({int(part) for part in parts})
    for number in numbers:
        for wrong in under(job.strategy, number).problems(job.batch_size):
            raise RequestError(f"step '{step}' with {_named(number)}", wrong)
    return numbers


def _check_capacity(step: str, job: Train, numbers: list[int], total: Capacity) -> None:
    """Raise ClusterError when the cluster can never hold one of the trainings."""
    from jobs.scaling import under

    for number in numbers:
        strategy = under(job.strategy, number)
        asked, subject = strategy.resources(), f"step '{step}' with {_named(number)}"
        if not asked.fits(total):
            raise ClusterError(f"{subject} needs {asked}, the cluster can hold {total}", remedy=REMEDY)
        if reason := total.refuses(strategy.processes()):
            raise ClusterError(f"{subject} {reason}", remedy=REMEDY)


def _run(bench: Bench, numbers: list[int], page: bool, address: str | None, tell: Teller) -> Scaling:
    with at_work(address, Train.imports) as stop:
        try:
            _check_capacity(bench.step, bench.job, numbers, capacity(address))
            made = bench.run(numbers, lambda number: tell(_named(number)), stop)
            if page:
                bench.write_page(tell(PAGE), stop)
        except Exception:
            if stop.is_set():
                raise typer.Exit(STOPPED) from None
            raise
    return made


def _teller(names: list[str], quiet: bool) -> Teller:
    """Return a function that returns, for one of the `names`, whom its training tells."""
    lines = Lines([*names, PAGE])

    def of(name: str) -> Callable[[dict[str, Any]], None]:
        def tell(event: dict[str, Any]) -> None:
            if not quiet and "traceback" not in event:
                lines(name, "event", event)

        return tell

    return of


def _named(workers: int) -> str:
    return "1 worker" if workers == 1 else f"{workers} workers"


def _row(speed: Speed) -> tuple[str, ...]:
    numbers = (f"{speed.workers}", f"{speed.rows_per_second:,.0f}", f"{speed.efficiency:.1%}")
    if (timing := speed.timing) is None:
        return (*numbers, ABSENT, ABSENT, ABSENT)
    parts = (timing.input_seconds, timing.communication_seconds)
    shares = (ABSENT if part is None else f"{part / timing.seconds:.1%}" for part in parts)
    return (*numbers, f"{timing.p50_ms:.1f} ms", *shares)
