"""Hostile definitions: each is refused at once, with file, line and key, and leaves nothing on disk."""

import sys
from collections.abc import Iterator
from itertools import pairwise
from pathlib import Path

import pytest

from cluster.errors import RequestError
from pipelines import graph
from pipelines.load import load
from tests.pipelines.toys import GOOD, ToyTrain, errors, read, write

COUNT = 10_000


def chain(first: str = "") -> str:
    later = (f"  s{i}: {{job: toy_data, path: x, after: [s{i - 1}]}}\n" for i in range(1, COUNT))
    return f"name: long\nsteps:\n  s0: {{job: toy_data, path: x{first}}}\n{''.join(later)}"


@pytest.fixture(autouse=True)
def _nothing_is_created(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Iterator[None]:
    monkeypatch.chdir(tmp_path)
    yield
    assert [path.name for path in tmp_path.rglob("*") if not path.is_symlink()] in ([], ["news.yaml"])


@pytest.fixture(autouse=True)
def _calls(request: pytest.FixtureRequest) -> Iterator[None]:
    """Count what is called, which no other work on the machine changes; the seconds are in tests/benchmarks."""
    counted = 0

    def count(*_: object) -> None:
        nonlocal counted
        counted += 1

    sys.setprofile(count)
    yield
    sys.setprofile(None)
    # about 1,100 a step when read, checked and ordered; what grows with the square of the steps is far over it
    assert counted < (COUNT * 2_000 if "ten_thousand" in request.node.name else 100_000)


def test_an_alias_bomb_is_refused_at_its_first_alias(tmp_path: Path) -> None:
    names = "abcdefghi"
    bomb = "".join(f"{b}: &{b} [{', '.join([f'*{a}'] * 9)}]\n" for a, b in pairwise(names))
    lines = errors(tmp_path, f"name: bomb\na: &a lol\n{bomb}")
    assert "news.yaml:2: a: the anchor &a is refused; leave it out" in lines
    assert "news.yaml:3: b[0]: the alias *a is refused; write the value out" in lines


@pytest.mark.parametrize(
    ("opening", "key"),
    [("[", "[0][0][0]"), ("{a: ", "a.a.a"), ("- ", "[0][0][0]"), ("? ", "['?']['?']['?']"), ("[{a: ", "[0].a[0]")],
)
def test_a_depth_of_100_000_does_not_exhaust_the_stack(tmp_path: Path, opening: str, key: str) -> None:
    assert errors(tmp_path, opening * 100_000) == [f"news.yaml:1: {key}: the nesting is over 50 deep"]


def test_depth_is_counted_where_it_is(tmp_path: Path) -> None:
    assert errors(tmp_path, f"name: x\nsteps:\n  a: {'[' * 48}{']' * 48}\n") == [
        "news.yaml:3: steps.a: a list is not a mapping of fields"
    ]
    assert errors(tmp_path, f"name: x\nsteps:\n  a: {'[' * 49}{']' * 49}\n") == [
        "news.yaml:3: steps.a[0]: the nesting is over 50 deep"
    ]


def test_a_file_of_2_mb_is_refused_before_it_is_read(tmp_path: Path) -> None:
    assert errors(tmp_path, b"#" * 2_000_000) == [
        "news.yaml: is too large, wanted a definition of at most 1,048,576 bytes; "
        "data belongs in files of its own, which the definition names"
    ]


def test_a_device_without_an_end_is_refused() -> None:
    with pytest.raises(RequestError) as caught:
        load(Path("/dev/zero"))
    assert str(caught.value).startswith("/dev/zero: is too large, wanted a definition of at most 1,048,576 bytes")


def test_a_duplicate_key_names_both_lines(tmp_path: Path) -> None:
    assert errors(tmp_path, GOOD.replace("epochs: 3", "epochs: 3\n    epochs: 9")) == [
        "news.yaml:11: steps.teacher.epochs: is written twice, first on line 10"
    ]


@pytest.mark.parametrize(
    ("value", "tag"),
    [
        ("!!python/object/apply:os.system ['touch owned']", "!!python/object/apply:os.system"),
        ("!!python/name:os.system x", "!!python/name:os.system"),
        ("!!python/object:tests.X {}", "!!python/object:tests.X"),
        ("!include other.yaml", "!include"),
        ("!!binary aGVsbG8=", "!!binary"),
    ],
)
def test_tags_make_nothing(tmp_path: Path, value: str, tag: str) -> None:
    lines = errors(tmp_path, GOOD.replace("data/news.parquet", value))
    assert lines[0] == f"news.yaml:5: steps.data.path: the tag {tag} is refused; leave it out"


def test_an_unknown_key_names_the_nearest(tmp_path: Path) -> None:
    assert errors(tmp_path, GOOD.replace("epochs: 3", "epoch: 3")) == [
        "news.yaml:10: steps.teacher.epoch: unknown field 'epoch', did you mean 'epochs'?"
    ]


def test_1e_3_is_a_number(tmp_path: Path) -> None:
    teacher = read(tmp_path, GOOD).steps["teacher"]
    assert isinstance(teacher, ToyTrain)
    assert teacher.optimizer.rate == 0.001


@pytest.mark.parametrize("name", ["../../etc/passwd", "/etc/passwd", "link", "a/b", "..", "data/"])
def test_a_path_where_a_step_is_wanted_is_no_step(tmp_path: Path, name: str) -> None:
    (tmp_path / "link").symlink_to("/etc/passwd")
    assert errors(tmp_path, GOOD.replace("data: data", f"data: {name}").replace("after: [data]", "")) in (
        [
            f"news.yaml:9: steps.teacher.data: step 'teacher' needs a Dataset from '{name}', "
            "but no step is called that (known: data, teacher, small, verdict)"
        ],
        [
            f"news.yaml:9: steps.teacher.data: step 'teacher' needs a Dataset from '{name}', "
            "but no step is called that, did you mean 'data'?"
        ],
    )


@pytest.mark.parametrize("name", ["../x", "a/b", "../../etc/passwd", "/etc/passwd", ".", "A", "x y"])
def test_a_step_is_not_named_like_a_path(tmp_path: Path, name: str) -> None:
    key = name if name == "A" else f"['{name}']"
    at = f"steps.{key}" if name == "A" else f"steps{key}"
    text = f"name: x\nsteps:\n  {name}:\n    job: toy_data\n    path: x\n"
    assert errors(tmp_path, text) == [
        f"news.yaml:3: {at}: '{name}' is not a name (lowercase letters, digits, - and _, a letter first, at most 64)"
    ]


def test_a_pipeline_is_not_named_like_a_path(tmp_path: Path) -> None:
    assert errors(tmp_path, GOOD.replace("name: toys", "name: ../runs")) == [
        "news.yaml:1: name: '../runs' is not a name (lowercase letters, digits, - and _, a letter first, at most 64)"
    ]


def test_a_circle_is_named(tmp_path: Path) -> None:
    text = "name: x\nsteps:\n  a: {job: toy_data, path: x, after: [b]}\n  b: {job: toy_data, path: x, after: [a]}\n"
    assert errors(tmp_path, text) == ["news.yaml:3: steps.a.after[0]: the steps go round in a circle: a -> b -> a"]


@pytest.mark.parametrize("count", [200_000])
def test_mistakes_without_number_end_the_reading(tmp_path: Path, count: int) -> None:
    assert len(errors(tmp_path, "a: 1\n" * count)) == 101
    assert len(errors(tmp_path, "- &a\n" * count)) == 101


def test_numbers_and_texts_without_end_are_cut_short(tmp_path: Path) -> None:
    assert errors(tmp_path, GOOD.replace("epochs: 3", f"epochs: {'9' * 500_000}")) == [
        f"news.yaml:10: steps.teacher.epochs: {'9' * 40} is not a whole number of at most 64 bits"
    ]
    (line,) = errors(tmp_path, GOOD.replace("epochs: 3", f"epochs: {'x' * 500_000}"))
    assert line == f"news.yaml:10: steps.teacher.epochs: '{'x' * 78}… is not a whole number"


def test_ten_thousand_steps_are_loaded_and_ordered(tmp_path: Path) -> None:
    edges = graph.dependencies(read(tmp_path, chain()))
    assert graph.order(edges) == [f"s{i}" for i in range(COUNT)]
    assert len(graph.dependants(edges, "s0")) == COUNT - 1


def test_a_circle_of_ten_thousand_steps_is_named(tmp_path: Path) -> None:
    assert errors(tmp_path, chain(", after: [s9999]")) == [
        "news.yaml:3: steps.s0.after[0]: the steps go round in a circle: "
        "s0 -> s1 -> s2 -> s3 -> s4 -> s5 -> s6 -> s7 -> … -> s0"
    ]


@pytest.mark.parametrize(
    ("old", "new", "start"),
    [
        ("path", "pth", "news.yaml:3: steps.s0.path: is missing"),
        ("toy_data", "toy_dta", "news.yaml:3: steps.s0.job: 'toy_dta' is not a job, did you mean 'toy_data'? (known: "),
        (
            "after: [s",
            "after: [z",
            "news.yaml:4: steps.s1.after[0]: step 's1' needs an Artifact from 'z0', but no step",
        ),
    ],
)
def test_ten_thousand_wrong_steps_are_refused(tmp_path: Path, old: str, new: str, start: str) -> None:
    path = write(tmp_path, chain().replace(old, new))
    lines = errors(tmp_path, path.read_bytes())
    assert lines[0].startswith(start)
    assert len(lines) <= 101
