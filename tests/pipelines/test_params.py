from pathlib import Path

import pytest

from tests.pipelines.toys import ToyData, ToyTrain, edited, errors, read

PARAMS = """\
name: toys
params:
  epochs: {type: int, default: 4, description: How long}
  rate: {type: float, default: 0.1}
  path: {type: str, default: here}
  decay: {type: bool, default: false}
steps:
  data: {job: toy_data, path: "${params.path}"}
  teacher:
    job: toy_train
    data: data
    epochs: ${params.epochs}
    optimizer:
      rate: ${params.rate}
      decay: ${params.decay}
"""


def test_params_stand_for_whole_values(tmp_path: Path) -> None:
    teacher = read(tmp_path, PARAMS).steps["teacher"]
    assert isinstance(teacher, ToyTrain)
    assert (teacher.epochs, teacher.optimizer.rate, teacher.optimizer.decay) == (4, 0.1, False)


def test_set_overrides_params_and_the_pipeline_tells_what_was_set(tmp_path: Path) -> None:
    pipeline = read(tmp_path, PARAMS, {"epochs": "7", "rate": "1e-2", "decay": "true", "path": "123"})
    data, teacher = pipeline.steps["data"], pipeline.steps["teacher"]
    assert isinstance(data, ToyData)
    assert isinstance(teacher, ToyTrain)
    assert (teacher.epochs, teacher.optimizer.rate, teacher.optimizer.decay) == (7, 0.01, True)
    assert data.path == "123"
    assert {name: param.default for name, param in pipeline.params.items()} == {
        "epochs": 7,
        "rate": 0.01,
        "path": "123",
        "decay": True,
    }


def test_wrong_overrides_are_told_with_the_text_that_was_given(tmp_path: Path) -> None:
    overrides = {"epocs": "3", "epochs": "abc", "rate": "fast", "decay": "yes", "path": "${env.HOME}", "zzz": ""}
    assert errors(tmp_path, PARAMS, overrides) == [
        "--set epocs=3: no param is called 'epocs', did you mean 'epochs'?",
        "--set epochs=abc: 'abc' is not a whole number",
        "--set rate=fast: 'fast' is not a number",
        "--set decay=yes: 'yes' is not true or false",
        "--set path=${env.HOME}: a param takes a plain value, not ${…}",
        "--set zzz=: no param is called 'zzz' (known: epochs, rate, path, decay)",
    ]


def test_a_set_value_out_of_bounds_is_told_where_it_is_used(tmp_path: Path) -> None:
    assert errors(tmp_path, PARAMS, {"epochs": "0"}) == ["news.yaml:12: steps.teacher.epochs: 0 is not 1 or more"]


@pytest.mark.parametrize(
    ("old", "new", "lines"),
    [
        (
            "${params.epochs}",
            "${params.epoch}",
            ["12: steps.teacher.epochs: no param is called 'epoch', did you mean 'epochs'?"],
        ),
        (
            '"${params.path}"',
            '"a${params.path}b"',
            [
                "8: steps.data.path: 'a${params.path}b' is not a whole value, "
                "wanted ${params.NAME} and nothing around it"
            ],
        ),
        (
            '"${params.path}"',
            '"${path}"',
            ["8: steps.data.path: '${path}' is not a whole value, wanted ${params.NAME} and nothing around it"],
        ),
        ("default: 4", "default: 4.5", ["3: params.epochs.default: 4.5 is not a whole number"]),
        ("default: 4", "default: true", ["3: params.epochs.default: true is not a whole number"]),
        ("default: 4,", "", ["3: params.epochs.default: is missing"]),
        (
            "default: here",
            'default: "${params.epochs}"',
            ["5: params.path.default: a param takes a plain value, not ${…}"],
        ),
        (
            "default: here",
            'default: "${env.HOME}"',
            ["5: params.path.default: '${env.HOME}' is only for fields marked secret, and 'default' is not one"],
        ),
        (
            "type: int",
            "type: integer",
            ["3: params.epochs.type: 'integer' is not one of 'int', 'float', 'str' or 'bool', did you mean 'int'?"],
        ),
        (
            '"${params.path}"',
            "${params.path}",
            [
                "8: is not YAML: did not find expected ',' or '}'; a ${…} inside { } or [ ] must stand in quotes",
            ],
        ),
    ],
)
def test_wrong_params_are_told_once(tmp_path: Path, old: str, new: str, lines: list[str]) -> None:
    assert old in PARAMS
    text = PARAMS.replace(old, new, 1)
    assert errors(tmp_path, text) == [f"news.yaml:{line}" for line in lines]


@pytest.mark.parametrize("secret", ["hunter2", "12345", "${env.DATA-PASSWORD}", "hunter2${env.X}", "${env.A}\\n"])
def test_a_secret_that_is_written_out_is_refused_and_never_shown(tmp_path: Path, secret: str) -> None:
    for value in (secret, f'"{secret}"'):
        (line,) = errors(tmp_path, edited(("${env.DATA_PASSWORD}", value)))
        assert line.startswith("news.yaml:6: steps.data.password: ")
        assert "${env.NAME}" in line
        assert "hunter2" not in line
        assert "12345" not in line
