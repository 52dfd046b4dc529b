from jobs.kinds.evaluate import Evaluate, Require, shortfalls

FOUND = {
    "big": {"accuracy": 0.99, "macro_f1": 0.98, "size_bytes": 1000, "p99_ms": 1.0},
    "small": {"accuracy": 0.97, "macro_f1": 0.96, "size_bytes": 400, "p99_ms": 0.5},
}


def test_every_threshold_missed_is_said_with_its_value() -> None:
    require = {"small": Require(accuracy=0.98, accuracy_drop=0.01, size_bytes=300, size_share=0.3, p99_ms=0.4)}
    assert list(shortfalls(require, FOUND, "big")) == [
        "small: accuracy is 0.97, required >= 0.98",
        "small: accuracy_drop is 0.02, required <= 0.01",
        "small: size_bytes is 400, required <= 300",
        "small: size_share is 0.4, required <= 0.3",
        "small: p99_ms is 0.5, required <= 0.4",
    ]


def test_thresholds_met_to_the_letter_are_met() -> None:
    require = {"small": Require(accuracy=0.97, macro_f1=0.96, size_bytes=400, size_share=0.4, p99_ms=0.5)}
    assert list(shortfalls(require, FOUND, "big")) == []


def test_a_drop_that_is_the_limit_is_met() -> None:
    found = {"big": {**FOUND["big"], "accuracy": 0.97}, "small": {**FOUND["small"], "accuracy": 0.96}}
    assert list(shortfalls({"small": Require(accuracy_drop=0.01)}, found, "big")) == []


def test_a_model_is_judged_once() -> None:
    job = Evaluate(models=["big", "big"], data="data")
    assert list(job.problems({})) == [(("models", 1), "'big' is judged already")]


def test_a_requirement_of_a_model_that_is_not_judged_is_refused() -> None:
    job = Evaluate(models=["big"], data="data", require={"smal": Require(accuracy=0.9)})
    assert list(job.problems({})) == [(("require", "smal"), "'smal' is not among the models judged: big")]
