from pathlib import Path

import pytest

from cluster.errors import RequestError
from jobs.spec import SecretName
from pipelines import graph
from pipelines.language.mistakes import DefinitionError
from pipelines.load import load
from tests.pipelines.toys import GOOD, ToyData, ToySmall, ToyTrain, ToyWrap, edited, errors, read


def test_a_good_definition_is_read_whole(tmp_path: Path) -> None:
    pipeline = read(tmp_path, GOOD)
    data, teacher, small = (pipeline.steps[name] for name in ("data", "teacher", "small"))
    assert isinstance(data, ToyData)
    assert isinstance(teacher, ToyTrain)
    assert isinstance(small, ToySmall)
    assert isinstance(small.tricks[1], ToyWrap)
    assert (pipeline.name, list(pipeline.steps)) == ("toys", ["data", "teacher", "small", "verdict"])
    assert (teacher.epochs, teacher.optimizer.rate, small.tricks[1].times) == (3, 0.001, "all")
    assert type(data.password) is SecretName
    assert graph.order(graph.dependencies(pipeline)) == ["data", "teacher", "small", "verdict"]


@pytest.mark.parametrize(
    ("edit", "line"),
    [
        (("sparsity: 0.7", "sparsity: 1.5"), "16: steps.small.tricks[0].sparsity: 1.5 is not below 1"),
        (("sparsity: 0.7", "sparsity: 0"), "16: steps.small.tricks[0].sparsity: 0 is not above 0"),
        (("sparsity: 0.7", "sparsity: half"), "16: steps.small.tricks[0].sparsity: 'half' is not a number"),
        (("sparsity: 0.7", "sparsity: .inf"), "16: steps.small.tricks[0].sparsity: inf is not a finite number"),
        (("sparsity: 0.7", "sparsity: null"), "16: steps.small.tricks[0].sparsity: an empty value is not a number"),
        (("epochs: 3", "epochs: 3.5"), "10: steps.teacher.epochs: 3.5 is not a whole number"),
        (("epochs: 3", "epochs: '3'"), "10: steps.teacher.epochs: '3' is not a whole number"),
        (("epochs: 3", "epochs: true"), "10: steps.teacher.epochs: true is not a whole number"),
        (("epochs: 3", "epochs: [1, 2]"), "10: steps.teacher.epochs: a list is not a whole number"),
        (("epochs: 3", "epochs: 0"), "10: steps.teacher.epochs: 0 is not 1 or more"),
        (("epochs: 3", "epochs: 2000000"), "10: steps.teacher.epochs: 2000000 is not 1000000 or less"),
        (("rate: 1e-3", "decay: on"), "11: steps.teacher.optimizer.decay: 'on' is not true or false"),
        (("{rate: 1e-3}", "fast"), "11: steps.teacher.optimizer: 'fast' is not a mapping of fields"),
        (("path: data/news.parquet", "path: 3"), "5: steps.data.path: 3 is not text; put it in quotes"),
        (("models: [teacher, small]", "models: small"), "22: steps.verdict.models: 'small' is not a list"),
        (
            ("times: all", "times: al"),
            "19: steps.small.tricks[1].times: 'al' is not a whole number or one of 'all' or 'none', "
            "did you mean 'all'?",
        ),
        (
            ("password:", "columns: [a, b, c, d]\n    password:"),
            "6: steps.data.columns: has 4 entries, wanted at most 3",
        ),
        (
            ("sparsity: 0.7", "sparsty: 0.7"),
            "16: steps.small.tricks[0].sparsty: unknown field 'sparsty', did you mean 'sparsity'?",
        ),
        (
            ("rate: 1e-3", "momentum: 1"),
            "11: steps.teacher.optimizer.momentum: unknown field 'momentum' (known: rate, decay)",
        ),
        (
            ("{kind: toy_shrink, sparsity", "{kind: toy_shrnk, sparsity"),
            "16: steps.small.tricks[0].kind: 'toy_shrnk' is not a toy trick, did you mean 'toy_shrink'? "
            "(known: toy_shrink, toy_wrap)",
        ),
        (
            ("inner: {kind: toy_shrink}", "inner: {}"),
            "18: steps.small.tricks[1].inner.kind: is missing (known: toy_shrink, toy_wrap)",
        ),
        (("        inner: {kind: toy_shrink}\n", ""), "17: steps.small.tricks[1].inner: is missing"),
        (("    model: teacher\n", ""), "12: steps.small.model: is missing"),
        (("name: toys", "nmae: toys"), "1: name: is missing"),
        (
            ("model: teacher", "model: data"),
            "14: steps.small.model: step 'small' needs a Model from 'data', but 'data' makes a Dataset",
        ),
        (
            ("[teacher, small]", "[teacher, smal]"),
            "22: steps.verdict.models[1]: step 'verdict' needs a Model from 'smal', but no step is called that, "
            "did you mean 'small'?",
        ),
        (
            ("epochs: 3", "after: [small]"),
            "10: steps.teacher.after[0]: the steps go round in a circle: teacher -> small -> teacher",
        ),
        (
            ("path: data/news.parquet", f"path: [{'x' * 200}]\n    columns: {'y' * 200}"),
            f"6: steps.data.columns: '{'y' * 78}… is not a list",
        ),
    ],
)
def test_an_error_names_file_line_field_found_and_wanted(tmp_path: Path, edit: tuple[str, str], line: str) -> None:
    assert f"news.yaml:{line}" in errors(tmp_path, edited(edit))


def test_a_missing_and_an_unknown_job_list_the_jobs(tmp_path: Path) -> None:
    missing = errors(tmp_path, edited(("    job: toy_small\n", "")))
    assert missing[0].startswith("news.yaml:12: steps.small.job: is missing (known: ")
    unknown = errors(tmp_path, edited(("job: toy_small", "job: 3")))
    assert unknown[0].startswith("news.yaml:13: steps.small.job: 3 is not a job (known: ")
    assert all(job in unknown[0] for job in ("toy_data", "toy_judge", "toy_small", "toy_train"))


def test_everything_that_is_wrong_is_told_at_once_in_the_order_of_the_lines(tmp_path: Path) -> None:
    text = edited(
        ("epochs: 3", "epochs: 0\n    epochs: 1"),
        ("model: teacher", "model: data"),
        ("sparsity: 0.7", "sparsity: ${env.S}"),
        ("times: all", "tmes: all"),
        ("[teacher, small]", "[techer, small]"),
    ).replace("${env.S}", '"${env.S}"')
    assert errors(tmp_path, text, {"x": "1"}) == [
        "--set x=1: no param is called 'x' (none is known)",
        "news.yaml:11: steps.teacher.epochs: is written twice, first on line 10",
        "news.yaml:17: steps.small.tricks[0].sparsity: '${env.S}' is only for fields marked secret, "
        "and 'sparsity' is not one",
        "news.yaml:20: steps.small.tricks[1].tmes: unknown field 'tmes', did you mean 'times'?",
        "news.yaml:23: steps.verdict.models[0]: step 'verdict' needs a Model from 'techer', "
        "but no step is called that, did you mean 'teacher'?",
    ]


def test_scalars_are_those_of_yaml_1_2(tmp_path: Path) -> None:
    text = """\
name: scalars
steps:
  a: {job: toy_data, path: on, columns: [yes, no, 2024-01-31]}
  b: {job: toy_data, path: "1", columns: [1:30, 'null', "true"]}
  t: {job: toy_train, data: a, epochs: 400_000, optimizer: {rate: 1e-3, decay: True}}
  u: {job: toy_train, data: a, epochs: 0x10, optimizer: {rate: +.5E-1}}
  v: {job: toy_train, data: a, epochs: 010, optimizer: {rate: 1}}
"""
    steps = read(tmp_path, text).steps
    a, b, t, u, v = steps.values()
    assert isinstance(a, ToyData)
    assert isinstance(b, ToyData)
    assert (a.path, a.columns) == ("on", ["yes", "no", "2024-01-31"])
    assert (b.path, b.columns) == ("1", ["1:30", "null", "true"])
    trained = [(job.epochs, job.optimizer.rate) for job in (t, u, v) if isinstance(job, ToyTrain)]
    assert trained == [(400_000, 0.001), (16, 0.05), (10, 1.0)]
    assert [type(rate) for _, rate in trained] == [float, float, float]


@pytest.mark.parametrize(
    ("text", "lines"),
    [
        ("", ["news.yaml:1: the file is empty, wanted a mapping with 'name' and 'steps'"]),
        ("# nothing\n", ["news.yaml:1: the file is empty, wanted a mapping with 'name' and 'steps'"]),
        ("[a]\n", ["news.yaml:1: a list is not a mapping of fields"]),
        ("name: x\nsteps: {}\n", ["news.yaml:2: steps: is empty, wanted at least 1"]),
        ("name: x\nsteps: []\n", ["news.yaml:2: steps: a list is not a mapping"]),
        ("name: x\n", ["news.yaml:1: steps: is missing"]),
        (
            "name: x\nsteps:\n\ta: 1\n",
            [
                "news.yaml:3: is not YAML: found character that cannot start any token; "
                "a tab indents this line, YAML wants spaces"
            ],
        ),
        ("name: 'x\n", ["news.yaml:2: is not YAML: found unexpected end of stream while scanning a quoted scalar"]),
        ("name: x: y\n", ["news.yaml:1: is not YAML: mapping values are not allowed in this context"]),
        ("name: \x07\n", ["news.yaml:1: the character '\\x07' is not allowed in YAML"]),
        (b"name: x\n# caf\xe9\n", ["news.yaml:2: the byte 0xe9 is not UTF-8"]),
        (GOOD.encode("utf-16"), ["news.yaml:1: the byte 0xff is not UTF-8"]),
    ],
)
def test_what_is_not_a_definition_is_refused(tmp_path: Path, text: str | bytes, lines: list[str]) -> None:
    assert errors(tmp_path, text) == lines


def test_a_byte_order_mark_and_windows_line_ends_are_read(tmp_path: Path) -> None:
    assert read(tmp_path, b"\xef\xbb\xbf" + GOOD.replace("\n", "\r\n").encode()) == read(tmp_path, GOOD)


def test_keys_are_text(tmp_path: Path) -> None:
    assert errors(tmp_path, edited(("name: toys", "name: toys\n1: a\ntrue: b\n~: c\n? [d]\n: e"))) == [
        "news.yaml:2: 1: the key 1 is not text; put it in quotes",
        "news.yaml:3: true: the key true is not text; put it in quotes",
        "news.yaml:4: ['~']: the key ~ is not text; put it in quotes",
        "news.yaml:5: ['?']: a list stands as a key, wanted text",
    ]


def test_a_file_that_cannot_be_read_is_a_request_error(tmp_path: Path) -> None:
    with pytest.raises(RequestError) as caught:
        load(tmp_path / "none.yaml")
    assert str(caught.value) == f"{tmp_path}/none.yaml: there is no such file, wanted a definition; check the path"
    with pytest.raises(RequestError) as caught:
        load(tmp_path)
    assert str(caught.value) == f"{tmp_path}: is a folder, wanted a definition; name one of the files in it"
    assert caught.value.exit_code == 2


def test_the_error_holds_a_hundred_mistakes_at_most(tmp_path: Path) -> None:
    steps = "".join(f"  s{i}: {{job: toy_data, pth: x}}\n" for i in range(300))
    lines = errors(tmp_path, f"name: x\nsteps:\n{steps}")
    assert lines[:2] == [
        "news.yaml:3: steps.s0.path: is missing",
        "news.yaml:3: steps.s0.pth: unknown field 'pth', did you mean 'path'?",
    ]
    assert lines[100:] == ["… and more; these are the first 100"]


def test_the_error_is_a_value_error_that_keeps_its_lines(tmp_path: Path) -> None:
    with pytest.raises(DefinitionError) as caught:
        read(tmp_path, edited(("epochs: 3", "epochs: 0")))
    assert isinstance(caught.value, ValueError)
    assert str(caught.value) == f"{tmp_path}/news.yaml:10: steps.teacher.epochs: 0 is not 1 or more"
