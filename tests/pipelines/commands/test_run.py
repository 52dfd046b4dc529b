from __future__ import annotations

import json
import os
import subprocess
import sys
from pathlib import Path

import pytest

from cluster.process import Process
from cluster.session import cpus_here
from tests.pipelines.commands.conftest import Define, Espalier
from tests.pipelines.toy_jobs import executions

OFFLINE = [sys.executable, "-m", "tests.pipelines.offline"]
HEAVY = {"tensorflow", "tf_keras", "ray", "pyarrow", "numpy"}
ENVIRONMENT = {**os.environ, "PYTHONPATH": str(Path(__file__).parents[3])}


def place_of(step: str) -> Path:
    (place,) = Path("runs/toys").glob(f"{step}-*")
    return place


def test_a_run_says_what_it_did(espalier: Espalier, define: Define) -> None:
    said = espalier("run", define(a={}, longer={"of": ["a"]}))
    assert said.code == 0
    *lines, last = said.lines
    assert [line.partition(" in ")[0] for line in lines] == [
        "a       running on 1 CPU",
        "a       rows 1,000",
        "a       done",
        "longer  running on 1 CPU",
        "longer  rows 1,000",
        "longer  done",
    ]
    assert last.startswith("2 run in ")
    assert said.err == "starting a cluster on this machine\n"


def test_a_finished_run_reuses_everything_and_starts_nothing(espalier: Espalier, define: Define, diary: Path) -> None:
    path = define(a={}, longer={"of": ["a"]})
    espalier("run", path)
    said = espalier("run", path)
    assert (said.code, said.err) == (0, "")
    assert said.lines == ["a       reused", "longer  reused", "2 reused, nothing to run"]
    assert executions(diary) == 2


def test_a_changed_step_and_what_follows_run_again(espalier: Espalier, define: Define, diary: Path) -> None:
    espalier("run", define(a={}, b={"of": ["a"]}, c={"of": ["b"]}))
    said = espalier("run", define(a={}, b={"of": ["a"], "text": "new"}, c={"of": ["b"]}))
    assert said.lines[-1].startswith("2 run, 1 reused in ")
    assert [executions(diary, step) for step in "abc"] == [1, 2, 2]


def test_fresh_makes_a_step_and_what_depends_on_it_again(espalier: Espalier, define: Define, diary: Path) -> None:
    path = define(a={}, b={"of": ["a"]}, c={"of": ["b"]})
    espalier("run", path)
    assert espalier("run", path, "--fresh", "b").lines[-1].startswith("2 run, 1 reused in ")
    assert [executions(diary, step) for step in "abc"] == [1, 2, 2]


def test_json_lines(espalier: Espalier, define: Define, tmp_path: Path) -> None:
    said = espalier("run", define(a={}), "--json")
    running, rows, done, ended = (json.loads(line) for line in said.lines)
    assert running == {"step": "a", "state": "running", "asked": "1 CPU"}
    assert rows == {"step": "a", "state": "event", "rows": 1000}
    assert done.pop("seconds") > 0
    assert (tmp_path / "runs/toys").samefile(Path(done.pop("artifact")).parent.parent)
    assert done == {"step": "a", "state": "done"}
    assert ended.pop("seconds") > 0
    assert ended == {"ended": {"run": 1}}
    reused, _ = (json.loads(line) for line in espalier("run", define(a={}), "--json").lines)
    assert (reused["state"], Path(reused["artifact"]).parent.name) == ("reused", place_of("a").name)


def test_a_failed_run_says_what_failed_and_what_is_kept(espalier: Espalier, define: Define) -> None:
    path = define(a={}, bad={"of": ["a"], "wrong": "step"}, last={"of": ["bad"]})
    said = espalier("run", path)
    assert said.code == 3
    assert said.lines[-4] == "bad   failed the toy: broke at execution 1"
    assert said.lines[-3] == "last  skipped because 'bad' failed"
    assert said.lines[-2].startswith("1 run, 1 failed, 1 skipped in ")
    assert said.lines[-1] == "kept: a; run again to go on from there"
    assert said.err == (
        "starting a cluster on this machine\n"
        "error: step 'bad' failed: the toy: broke at execution 1\n"
        "its log: espalier logs toys.yaml bad\n"
    )


def test_the_command_that_shows_a_failed_steps_log_has_the_runs_options(espalier: Espalier, define: Define) -> None:
    path = define(bad={"wrong": "step"})
    said = espalier("run", path, "--store", "my runs")
    assert said.err.endswith("its log: espalier logs toys.yaml bad --store 'my runs'\n")
    assert espalier("logs", path, "bad", "--store", "my runs").code == 0


@pytest.mark.parametrize(
    ("wrong", "code", "text"),
    [
        ("request", 2, "the toy: was asked for the impossible"),
        ("step", 3, "the toy: broke at execution 1"),
        ("bug", 3, "KeyError: 'toy'"),
        ("disk", 3, "OSError: [Errno 28] No space left on device"),
        ("cluster", 4, "the toy: finds no cluster"),
    ],
)
def test_the_exit_code_is_the_errors(espalier: Espalier, define: Define, wrong: str, code: int, text: str) -> None:
    said = espalier("run", define(a={"wrong": wrong}))
    assert said.code == code
    assert f"error: step 'a' failed: {text}\n" in said.err
    assert said.lines[-1] == "kept: nothing; run again to go on from there"


def test_several_errors_are_all_told(espalier: Espalier, define: Define) -> None:
    said = espalier("run", define(a={"wrong": "request"}, b={"wrong": "cluster"}))
    assert said.code == 3
    assert "error: step 'a' failed: the toy: was asked for the impossible\n" in said.err
    assert "error: step 'b' failed: the toy: finds no cluster\n" in said.err


def test_a_timeout_is_told_without_naming_the_step_twice(espalier: Espalier, define: Define) -> None:
    said = espalier("run", define(slow={"gate": "/never", "timeout": 0.05}))
    assert said.code == 3
    assert "error: step 'slow' failed: took longer than its timeout of 0.05 s; raise its timeout\n" in said.err


def test_what_can_never_fit_is_refused_before_anything_is_made(
    espalier: Espalier, define: Define, tmp_path: Path
) -> None:
    said = espalier("run", define(a={}, x={"cpus": cpus_here() + 3}))
    assert (said.code, said.out) == (4, "")
    assert said.err.startswith(f"error: step 'x' needs {cpus_here() + 3} CPU, the cluster can hold {cpus_here()} CPU; ")
    assert not (tmp_path / "runs").exists()


def test_a_store_that_is_not_writable(espalier: Espalier, define: Define, tmp_path: Path, diary: Path) -> None:
    (tmp_path / "file").touch()
    said = espalier("run", define(a={}), "--store", "file/runs")
    assert said.code == 2
    assert said.err == (
        f"error: {tmp_path}/file/runs: is not writable (Not a directory); name a folder you may write to\n"
    )
    assert executions(diary) == 0


def test_a_store_in_the_folder_of_a_clusters_job(
    espalier: Espalier, define: Define, monkeypatch: pytest.MonkeyPatch, tmp_path: Path
) -> None:
    monkeypatch.setenv("RAY_JOB_CONFIG_JSON_ENV_VAR", "{}")
    said = espalier("run", define(a={}))
    assert (said.code, said.out) == (2, "")
    assert said.err == (
        "error: --store runs: lies in the job's own folder, which the cluster deletes, wanted a whole path that all "
        "nodes mount, or a URI; name it with --store or ESPALIER_STORE\n"
    )
    assert espalier("run", define(a={}), "--store", tmp_path / "runs").code == 0


def test_a_damaged_artifact_is_made_again_with_a_warning(espalier: Espalier, define: Define, diary: Path) -> None:
    path = define(a={"text": "hello"}, b={"of": ["a"]})
    espalier("run", path)
    (file,) = place_of("a").glob("20*/out.txt")
    file.write_bytes(b"hel")
    said = espalier("run", path)
    assert said.code == 0
    assert said.err.startswith(
        "warning: step 'a' is made again: its artifact is damaged: out.txt is 3 bytes, wanted 5\n"
    )
    assert said.lines[-1].startswith("1 run, 1 reused in ")
    assert (executions(diary, "a"), executions(diary, "b")) == (2, 1)


def test_what_a_run_killed_at_its_very_end_left_is_cleared(espalier: Espalier, define: Define, diary: Path) -> None:
    path = define(a={})
    espalier("run", path)
    place = place_of("a")
    (place / "checkpoints").mkdir()
    (place / "20260101T000000Z-00000000").mkdir()
    gone = {**Process.this().document(), "pid": 2**22 + 1}
    (place / "lease").write_text(json.dumps({"token": "a", "beat": 5, **gone}))
    assert espalier("run", path).code == 0
    assert len(list(place.iterdir())) == 3
    assert executions(diary) == 1


def test_the_store_may_be_named_by_the_environment(
    espalier: Espalier, define: Define, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setenv("ESPALIER_STORE", str(tmp_path / "elsewhere"))
    assert espalier("run", define(a={})).code == 0
    assert [path.name for path in (tmp_path / "elsewhere").iterdir() if path.is_dir()] == ["toys"]


def test_the_last_word_is_the_jobs(espalier: Espalier, define: Define, monkeypatch: pytest.MonkeyPatch) -> None:
    path = define(a={}, b={"of": ["a"], "speaks": True}, c={"wrong": "step", "speaks": True})
    (line,) = (line for line in espalier("run", path).lines if "ended" in line)
    made, needed = (next(place_of(step).glob("20*")) for step in ("b", "a"))
    assert line == f"b: ended True, {made}/out.txt of {needed}"
    assert espalier("run", define(a={}, b={"of": ["a"], "speaks": True})).lines[-1] == line
    monkeypatch.setenv("RAY_ADDRESS", "127.0.0.1:6379")
    said = espalier("run", define(a={}, b={"of": ["a"], "speaks": True}))
    assert said.lines[-1] == line.replace("True", "False")
    assert espalier("run", define(a={}, b={"of": ["a"], "speaks": True}), "--json").lines[-1].startswith('{"ended":')


@pytest.mark.parametrize("command", ["validate", "plan", "run", "status"])
def test_what_is_cached_is_told_without_heavy_libraries(espalier: Espalier, define: Define, command: str) -> None:
    path = define(a={}, b={"of": ["a"]})
    espalier("run", path)
    done = subprocess.run(
        [*OFFLINE, "--modules", command, path], env=ENVIRONMENT, stdout=subprocess.PIPE, text=True, check=True
    )
    imported = set(done.stdout.splitlines()[-1].split())
    assert {"pipelines", "jobs", "yaml"} <= imported
    assert not HEAVY & imported


def test_a_reader_that_goes_away_does_not_end_the_run(espalier: Espalier, define: Define, diary: Path) -> None:
    path = define(a={}, b={"of": ["a"]}, c={"of": ["b"]})
    command = [*OFFLINE, "run", str(path)]
    with subprocess.Popen(command, env=ENVIRONMENT, stdout=subprocess.PIPE, stderr=subprocess.PIPE) as process:
        assert process.stdout is not None
        assert process.stderr is not None
        process.stdout.close()
        errors = process.stderr.read()
    assert (process.returncode, errors) == (0, b"starting a cluster on this machine\n")
    assert executions(diary) == 3
