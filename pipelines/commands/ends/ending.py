"""What is said at the end of a run: how many steps ran, what failed, what is kept, and where to look."""

from __future__ import annotations

import json
import shlex
import sys
from collections import Counter
from collections.abc import Iterable, Mapping, Sequence
from pathlib import Path

from cluster.errors import EspalierError, StepError
from cluster.folder import Folder
from pipelines import graph
from pipelines.commands.app import shown
from pipelines.console import duration, say
from pipelines.pipeline import Pipeline

WORDS = {"done": "run", "reused": "reused", "failed": "failed", "stopped": "stopped", "skipped": "skipped"}
KEPT = ("done", "reused")


def exit_code(errors: Iterable[BaseException]) -> int:
    """Return the exit code for steps' errors: the one they all have, else that of a failed step."""
    codes = {error.exit_code if isinstance(error, EspalierError) else StepError.exit_code for error in errors}
    return codes.pop() if len(codes) == 1 else StepError.exit_code


def tell_errors(errors: Mapping[str, BaseException], definition: Path, options: Sequence[str]) -> None:
    """Print each failed step's error, and the command that shows its log; `options` are those of the run it needs."""
    for name, error in errors.items():
        text = str(error) if isinstance(error, EspalierError) else f"{type(error).__name__}: {error}"
        text = text.removeprefix(f"step '{name}': ")
        again = shlex.join(["espalier", "logs", str(definition), name, *options])
        print(f"error: step '{name}' failed: {text}\nits log: {again}", file=sys.stderr)


def sum_up(states: Mapping[str, str], seconds: float, as_json: bool) -> None:
    """Print how many steps ended how and how long it took; after a run that did not end well, what is kept."""
    count = Counter(states.values())
    counted = {words: count[state] for state, words in WORDS.items() if count[state]}
    if as_json:
        say(json.dumps({"ended": counted, "seconds": round(seconds, 3)}))
        return
    ended = ", ".join(f"{number} {words}" for words, number in counted.items())
    say(f"{ended} in {duration(seconds)}" if count["reused"] < len(states) else f"{ended}, nothing to run")
    kept = [name for name, state in states.items() if state in KEPT]
    if len(kept) < len(states):
        say(f"kept: {', '.join(kept) or 'nothing'}; run again to go on from there")


def tell_afterwords(pipeline: Pipeline, made: Mapping[str, Folder], ended: bool) -> None:
    """Print what the jobs have to say of what they made."""
    edges = graph.dependencies(pipeline)
    for name, folder in made.items():
        inputs = {need: made[need] for need in edges[name]}
        if text := pipeline.steps[name].afterword(folder, inputs, ended):
            say(f"{name}: {shown(text)}")
