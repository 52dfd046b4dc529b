"""A checkpoint written as a TensorFlow Hub pair: the reference's values, and a pair that teaches under `hub`."""

from __future__ import annotations

import json
import subprocess
import sys
from pathlib import Path
from typing import Any

import numpy as np
import pytest
from tokenizers import AddedToken, models, normalizers, pre_tokenizers

from cluster.errors import RequestError, StepError
from cluster.folder import Folder
from jobs.artifacts import Dataset, Model
from jobs.data.pretrained_tokenizer import read_tokenizer
from jobs.data.sources.docstrings import Docstrings
from jobs.judging.judge import judge
from jobs.models.hub import Hub
from jobs.models.model import ModelSpec
from jobs.models.saved_model.bert_pair import fill_pair
from jobs.recipe import TrainRecipe
from jobs.strategies import Single
from jobs.training import TrainWork
from tests.jobs.models.making import SHAPES, WORDS, hugging_face, minilm, tensors
from tests.rig import MemoryKeeper

pytestmark = pytest.mark.training

REFERENCE = json.loads(Path(__file__).with_name("minilm.json").read_text("utf-8"))
VOCABULARY = {word: number for number, word in enumerate(WORDS)}
HOLED = VOCABULARY | {"oak": 39}
LENGTH = REFERENCE["length"]
CLOSE = 1e-4
PATH = str(Path(__file__).parent.parent.parent.parent)


def loaded(pair: Path) -> tuple[Any, Any]:
    import tensorflow_hub as hub
    import tensorflow_text  # noqa: F401  registers the ops of the preprocessor

    return hub.load(str(pair / "preprocess")), hub.load(str(pair / "encoder"))


@pytest.fixture(scope="module")
def pair(tmp_path_factory: pytest.TempPathFactory) -> tuple[Any, Any]:
    """Write MiniLM's pair with the command, in a process of its own, and load it."""
    out = tmp_path_factory.mktemp("minilm") / "pair"
    command = [sys.executable, "-m", "pipelines", "import-hub", str(minilm()), str(out), "--length", str(LENGTH)]
    done = subprocess.run(command, capture_output=True, text=True, cwd=PATH)
    assert done.returncode == 0, done.stderr
    assert done.stdout == (
        f"6 layers of width 384, 30,522 word pieces, length {LENGTH}\n"
        f"backbone: {{kind: hub, reads: text, module: {out}/encoder, preprocessor: {out}/preprocess}}\n"
    )
    return loaded(out)


def test_a_written_pair_gives_the_references_values(pair: tuple[Any, Any]) -> None:
    import tensorflow as tf

    preprocess, encoder = pair
    packed = preprocess(tf.constant(REFERENCE["texts"]))
    assert packed["input_word_ids"].numpy().tolist() == REFERENCE["ids"]
    made = {name: value.numpy() for name, value in encoder(packed).items()}
    assert sorted(made) == ["default", "pooled_output", "sequence_output"]
    mask = packed["input_mask"].numpy()[:, :, None]
    mean = (made["sequence_output"] * mask).sum(1) / mask.sum(1)
    hidden, wanted = made["sequence_output"][:, REFERENCE["positions"]], np.array(REFERENCE["hidden"])
    assert np.abs(hidden[:, :, : wanted.shape[-1]] - wanted).max() < CLOSE
    for found, name in ((mean, "mean"), (made["pooled_output"], "pooler"), (made["default"], "pooler")):
        wanted = np.array(REFERENCE[name])
        assert np.abs(found[:, : wanted.shape[-1]] - wanted).max() < CLOSE


def test_a_written_preprocessor_cuts_texts_as_the_checkpoints_tokenizer(pair: tuple[Any, Any]) -> None:
    import tensorflow as tf

    texts = [str(row.raw) for row in Docstrings(limit=300).rows()]  # type: ignore[union-attr]
    texts += [
        "Der Käfer läuft über die Straße",
        "Ångström’s résumé … Ⅻ ﬁne 東京",
        "x" * 300 + " don't [SEP]",
        "ΣΊΣΥΦΟΣ İ",
    ]
    packed = pair[0](tf.constant(texts))
    tokenizer = read_tokenizer(minilm(), 30_522)
    tokenizer.encode_special_tokens = True
    tokenizer.enable_truncation(LENGTH)
    for text, row in zip(texts, packed["input_word_ids"].numpy().tolist(), strict=True):
        ids = tokenizer.encode(text).ids
        assert row == ids + [0] * (LENGTH - len(ids)), text
    np.testing.assert_array_equal(packed["input_mask"], packed["input_word_ids"].numpy() != 0)
    assert not packed["input_type_ids"].numpy().any()


@pytest.fixture(scope="module")
def small(tmp_path_factory: pytest.TempPathFactory) -> dict[str, str]:
    """Write the pair of a small checkpoint and return the backbone that uses it."""
    root = tmp_path_factory.mktemp("small")
    draws = np.random.default_rng(3)
    pooler = {"pooler.dense.weight": draws.normal(0, 0.5, (8, 8)), "pooler.dense.bias": draws.normal(0, 0.5, 8)}
    source = hugging_face(root / "checkpoint", tensors() | {k: v.astype("float32") for k, v in pooler.items()})
    facts = fill_pair(str(source), Folder.parse(str(root / "pair")), 12)
    assert facts == {"layers": 1, "width": 8, "vocabulary": SHAPES["embeddings.word_embeddings.weight"][0]}
    modules = {"module": str(root / "pair/encoder"), "preprocessor": str(root / "pair/preprocess")}
    return {"kind": "hub", "reads": "text"} | modules


@pytest.mark.parametrize("trainable", [False, True])
def test_a_pair_trains_under_hub(trainable: bool, small: dict[str, str], texts: Folder, tmp_path: Path) -> None:
    spec = ModelSpec.model_validate({"backbone": small | {"trainable": trainable, "output": "sequence_output"}})
    out = Folder.parse(str(tmp_path / "model"))
    recipe = TrainRecipe(epochs=12, batch_size=32, learning_rate=0.03, precision="mixed_bfloat16")
    TrainWork(spec, recipe, Single(), texts, out)(Single().engine(), MemoryKeeper(tmp_path))
    model = Model.load(out)
    assert model.history[-1].loss < 0.9 * model.history[0].loss
    found = judge({"model": out}, texts, None, Folder(str(tmp_path / "verdict")), print)["model"]
    assert found["accuracy"] >= 0.65


def test_a_preprocessor_of_another_length_is_refused(small: dict[str, str], texts: Folder, tmp_path: Path) -> None:
    fill_pair(str(Path(small["module"]).parent.parent / "checkpoint"), Folder.parse(str(tmp_path / "long")), 16)
    backbone = Hub.model_validate(small | {"preprocessor": str(tmp_path / "long/preprocess")})
    with pytest.raises(StepError) as caught:
        backbone.preprocess(Dataset.load(texts), tmp_path)
    assert str(caught.value) == (
        f"module {small['module']}: takes 12 tokens a text, wanted 16, which its preprocessor makes"
    )


def test_a_pair_without_tensorflow_text_is_refused_with_the_extra_to_install(small: dict[str, str]) -> None:
    preprocessor = Path(small["preprocessor"])
    code = (
        "import sys; sys.modules['tensorflow_text'] = None\n"
        "from pathlib import Path\n"
        "from cluster.errors import StepError\n"
        "from jobs.models.saved_model.graph import load\n"
        "try: load(Path(sys.argv[1]))\n"
        "except StepError as error: print(error)"
    )
    done = subprocess.run(
        [sys.executable, "-c", code, str(preprocessor)], capture_output=True, text=True, cwd=PATH, check=True
    )
    assert done.stdout == (
        f"{preprocessor}: needs the op NormalizeUTF8, which TensorFlow lacks; most likely it tokenises: "
        "pip install 'espalier-ray[text]', which brings tensorflow-text\n"
    )


def test_segments_change_what_a_written_encoder_says(small: dict[str, str]) -> None:
    import tensorflow as tf

    preprocess, encoder = loaded(Path(small["module"]).parent)
    packed = preprocess(tf.constant(["oak leaf and root"]))
    second = packed | {"input_type_ids": packed["input_mask"]}
    assert np.abs(encoder(packed)["pooled_output"] - encoder(second)["pooled_output"]).max() > 1e-3


@pytest.mark.parametrize(
    ("changes", "message"),
    [
        ({"normalizer": None}, "normalizer: is missing, wanted a BertNormalizer"),
        ({"normalizer": normalizers.NFD()}, "normalizer: is a NFD, wanted a BertNormalizer"),
        (
            {"normalizer": normalizers.BertNormalizer(handle_chinese_chars=False)},
            "normalizer.handle_chinese_chars: is False, wanted True",
        ),
        (
            {"normalizer": normalizers.BertNormalizer(clean_text=False)},
            "normalizer.clean_text: is False, wanted True",
        ),
        (
            {"pre_tokenizer": pre_tokenizers.Whitespace()},
            "pre_tokenizer: is a Whitespace, wanted a BertPreTokenizer",
        ),
        (
            {"model": models.WordPiece(VOCABULARY, unk_token="[UNK]", max_input_chars_per_word=7)},
            "model.max_input_chars_per_word: is 7, wanted 100",
        ),
        (
            {"model": models.WordPiece(HOLED, unk_token="[UNK]", max_input_chars_per_word=100)},
            "vocabulary: leaves out numbers, wanted tokens numbered one after another",
        ),
    ],
)
def test_a_tokenizer_of_other_rules_than_berts_own_is_refused(
    changes: dict[str, Any], message: str, tmp_path: Path
) -> None:
    assert import_refusal(tmp_path, changes) == f"HF: the tokenizer's {message}"


def import_refusal(tmp_path: Path, changes: dict[str, Any], added: str = "") -> str:
    folder = hugging_face(tmp_path / "hf", vocab_size=40)
    tokenizer = read_tokenizer(folder, 40)
    for name, value in changes.items():
        setattr(tokenizer, name, value)
    if added:
        tokenizer.add_tokens([AddedToken(added, special=False)])
    tokenizer.save(str(folder / "tokenizer.json"))
    with pytest.raises(RequestError) as caught:
        fill_pair(str(folder), Folder.parse(str(tmp_path / "pair")), 8)
    return str(caught.value).replace(str(folder), "HF")


def test_a_token_that_is_found_inside_words_is_refused(tmp_path: Path) -> None:
    assert import_refusal(tmp_path, {}, "oak") == (
        "HF: the tokenizer's added token 'oak': is no special token, wanted word pieces"
    )
