import pytest
from pydantic import ValidationError

from jobs.job import Job
from pipelines import graph
from pipelines.pipeline import Pipeline, faults
from tests.pipelines.toys import ToyData, ToyJudge, ToyShrink, ToySmall, ToyTrain, ToyTrick

DATA = ToyData(path="x")
TRAIN = ToyTrain(data="data")
TRICKS: list[ToyTrick] = [ToyShrink()]


def wrong(steps: dict[str, Job | None]) -> list[tuple[tuple[str | int, ...], str]]:
    return list(faults(steps))


def test_a_right_pipeline_knows_its_edges() -> None:
    steps = {"data": DATA, "teacher": TRAIN, "verdict": ToyJudge(models=["teacher"], after=["data"])}
    assert graph.dependencies(Pipeline(name="p", steps=steps)) == {
        "data": set(),
        "teacher": {"data"},
        "verdict": {"teacher", "data"},
    }


def test_a_reference_to_the_wrong_type_says_what_is_needed_and_what_is_made() -> None:
    small = ToySmall(model="data", tricks=TRICKS)
    assert wrong({"data": DATA, "small": small}) == [
        (("steps", "small", "model"), "step 'small' needs a Model from 'data', but 'data' makes a Dataset")
    ]


def test_a_missing_reference_names_the_nearest_step_or_lists_them() -> None:
    steps: dict[str, Job | None] = {"data": DATA, "a": ToyTrain(data="dta"), "b": ToyTrain(data="nowhere")}
    assert wrong(steps) == [
        (
            ("steps", "a", "data"),
            "step 'a' needs a Dataset from 'dta', but no step is called that, did you mean 'data'?",
        ),
        (
            ("steps", "b", "data"),
            "step 'b' needs a Dataset from 'nowhere', but no step is called that (known: data, a, b)",
        ),
    ]


def test_any_artifact_may_be_waited_for() -> None:
    waiting = ToyData(path="x", after=["teacher", "verdict"])
    assert wrong({"data": DATA, "teacher": TRAIN, "verdict": ToyJudge(models=["teacher"]), "last": waiting}) == []


def test_a_circle_is_named_at_the_reference_that_closes_it() -> None:
    first, second = ToyData(path="x", after=["b"]), ToyData(path="y", after=["a"])
    assert wrong({"a": first, "b": second}) == [
        (("steps", "a", "after", 0), "the steps go round in a circle: a -> b -> a")
    ]


def test_a_step_that_is_itself_wrong_is_known_by_name_and_nothing_is_said_of_its_type() -> None:
    assert wrong({"data": None, "teacher": TRAIN, "small": ToySmall(model="data", tricks=TRICKS)}) == []


def test_jobs_are_asked_for_problems_only_when_what_they_refer_to_is_right() -> None:
    small, again = ToySmall(model="teacher", tricks=TRICKS), ToySmall(model="small", tricks=TRICKS)
    steps: dict[str, Job | None] = {"data": DATA, "teacher": TRAIN, "small": small, "again": again}
    assert wrong(steps) == [(("steps", "again", "model"), "'small' is small already")]
    assert [path for path, _ in wrong({**steps, "b": ToyTrain(data="dta")})] == [("steps", "b", "data")]


def test_every_fault_is_in_one_validation_error_at_its_field() -> None:
    steps = {"a": ToyTrain(data="b"), "b": ToySmall(model="c", tricks=TRICKS)}
    with pytest.raises(ValidationError) as caught:
        Pipeline(name="p", steps=steps)
    assert [error["loc"] for error in caught.value.errors()] == [("steps", "a", "data"), ("steps", "b", "model")]


@pytest.mark.parametrize("name", ["../x", "a/b", "A", "1a", "", "a" * 65, "a\n", "é", "/etc/passwd", "a.b", "."])
def test_names_that_could_leave_a_folder_are_refused(name: str) -> None:
    with pytest.raises(ValidationError):
        Pipeline(name="p", steps={name: DATA})
    with pytest.raises(ValidationError):
        Pipeline(name=name, steps={"a": DATA})


def test_the_longest_name_is_accepted() -> None:
    assert list(Pipeline(name="p-1_x", steps={"a" * 64: DATA}).steps) == ["a" * 64]
