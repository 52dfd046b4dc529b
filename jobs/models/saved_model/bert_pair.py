"""Writes a Hugging Face BERT as a pair of SavedModels, after TensorFlow Hub's "text encoders with preprocessing".

`preprocess` takes `string[rows]` and returns `input_word_ids`, `input_mask` and `input_type_ids`, `int32[rows, length]`
each; `encoder` takes those and returns `pooled_output` and `default` (`float32[rows, width]`) and `sequence_output`
(`float32[rows, length, width]`). The encoder can be trained; it has no dropout.
"""

from __future__ import annotations

import tempfile
from pathlib import Path
from typing import Any

from cluster.errors import RequestError
from cluster.folder import Folder
from jobs.models.checkpoint import Checkpoint

ENCODER, PREPROCESS = "encoder", "preprocess"


def fill_pair(source: str, out: Folder, length: int) -> dict[str, int]:
    """Write the pair into `out`, and return its facts; RequestError says what of the folder `source` cannot be used.

    `length` counts the tokens of a text, `[CLS]` and `[SEP]` among them; longer texts are cut.
    """
    import tensorflow as tf

    checkpoint = Checkpoint(source)
    if length > (most := checkpoint.config.max_position_embeddings):
        raise RequestError(f"--length {length}", f"{source} has {most} positions", f"at most {most}")
    with tempfile.TemporaryDirectory() as scratch, out.filling() as target:
        preprocessor, encoder = _preprocessor(checkpoint, length, Path(scratch)), _encoder(checkpoint, length)
        tf.saved_model.save(preprocessor, str(target / PREPROCESS))
        tf.saved_model.save(encoder, str(target / ENCODER))
    config = checkpoint.config
    return {"layers": config.num_hidden_layers, "width": config.hidden_size, "vocabulary": config.vocab_size}


def _preprocessor(checkpoint: Checkpoint, length: int, scratch: Path) -> Any:
    """Return a trackable object that cuts texts as the checkpoint's tokenizer does, the vocabulary its asset."""
    import tensorflow as tf

    from jobs.data.pretrained_tokenizer import read_tokenizer
    from jobs.data.text import FRAME

    pieces = read_tokenizer(checkpoint.path, checkpoint.config.vocab_size)
    _require_berts_own(pieces, f"{checkpoint.where}: the tokenizer's")
    text = _tensorflow_text()
    first, last = (pieces.token_to_id(token) for token in FRAME)
    module = tf.train.Checkpoint()
    module.vocabulary = tf.saved_model.Asset(_vocabulary(pieces, scratch))
    module.cutter = cutter = text.BertTokenizer(_table(module.vocabulary), token_out_type=tf.int32)
    normalise = _normaliser(text, pieces.normalizer)

    @tf.function(input_signature=[tf.TensorSpec([None], tf.string, name="texts")])  # type: ignore[untyped-decorator]
    def call(texts: Any) -> dict[str, Any]:
        tokens = cutter.tokenize(normalise(texts)).merge_dims(1, 2)[:, : length - 2]
        framed, segments = text.combine_segments([tokens], first, last)
        ids, mask = text.pad_model_inputs(framed, length)
        types, _ = text.pad_model_inputs(segments, length)
        packed = {"input_word_ids": ids, "input_mask": mask, "input_type_ids": types}
        return {name: tf.ensure_shape(tf.cast(part, tf.int32), [None, length]) for name, part in packed.items()}

    module.__call__ = call
    return module


def _require_berts_own(pieces: Any, subject: str) -> None:
    """Raise RequestError that names a rule of a tokenizer which the preprocessor would not follow."""
    from jobs.data.text import LONGEST_WORD, SPECIAL

    followed: dict[str, tuple[str, dict[str, Any]]] = {
        "normalizer": ("BertNormalizer", {"clean_text": True, "handle_chinese_chars": True}),
        "pre_tokenizer": ("BertPreTokenizer", {}),
        "model": (
            "WordPiece",
            {
                "unk_token": SPECIAL[1],
                "continuing_subword_prefix": "##",
                "max_input_chars_per_word": LONGEST_WORD,
            },
        ),
    }
    for part, (kind, fields) in followed.items():
        rules = getattr(pieces, part)
        if type(rules).__name__ != kind:
            raise RequestError(f"{subject} {part}", f"is {_called(rules)}", f"a {kind}")
        for name, value in fields.items():
            if (found := getattr(rules, name)) != value:
                raise RequestError(f"{subject} {part}.{name}", f"is {found!r}", repr(value))
    for token in pieces.get_added_tokens_decoder().values():
        if not token.special:
            raise RequestError(f"{subject} added token {token.content!r}", "is no special token", "word pieces")
    if sorted(pieces.get_vocab().values()) != list(range(pieces.get_vocab_size())):
        raise RequestError(f"{subject} vocabulary", "leaves out numbers", "tokens numbered one after another")


def _called(rules: Any) -> str:
    return "missing" if rules is None else f"a {type(rules).__name__}"


def _tensorflow_text() -> Any:
    try:
        import tensorflow_text
    except ImportError:
        remedy = "pip install 'espalier-ray[text]', which brings it"
        raise RequestError("the preprocessor", "tensorflow-text is not installed", remedy=remedy) from None
    return tensorflow_text


def _normaliser(text: Any, rules: Any) -> Any:
    """Return what is done to texts before they are cut.

    Told to lower case, tensorflow-text's tokenizer would fold (ß to ss, … to ...), which BERT's own does not.
    """
    import tensorflow as tf

    lower = bool(rules.lowercase)
    strip = lower if rules.strip_accents is None else bool(rules.strip_accents)

    def normalise(texts: Any) -> Any:
        if strip:
            texts = tf.strings.regex_replace(text.normalize_utf8(texts, "NFD"), r"\p{Mn}", "")
        # The reference lowers letter by letter, with no other form of a sigma at a word's end.
        return tf.strings.lower(tf.strings.regex_replace(texts, "Σ", "σ"), "utf-8") if lower else texts

    return normalise


def _vocabulary(pieces: Any, folder: Path) -> str:
    """Write the tokens of a tokenizer, one a line in their order."""
    tokens = sorted(pieces.get_vocab().items(), key=lambda item: item[1])
    path = folder / "vocab.txt"
    path.write_text("".join(f"{token}\n" for token, _ in tokens), "utf-8")
    return str(path)


def _table(asset: Any) -> Any:
    import tensorflow as tf

    lines = tf.lookup.TextFileInitializer(
        asset, tf.string, tf.lookup.TextFileIndex.WHOLE_LINE, tf.int64, tf.lookup.TextFileIndex.LINE_NUMBER
    )
    return tf.lookup.StaticVocabularyTable(lines, 1)


def _encoder(checkpoint: Checkpoint, length: int) -> Any:
    """Return a trackable object that encodes what the preprocessor packs."""
    import tensorflow as tf

    model = encoder_model(checkpoint, length)
    module = tf.train.Checkpoint()
    module.variables, module.trainable_variables = list(model.weights), list(model.trainable_weights)
    specs = {name: tf.TensorSpec([None, length], tf.int32, name=name) for name in model.input_names}

    @tf.function(input_signature=[specs])  # type: ignore[untyped-decorator]
    def call(inputs: Any) -> dict[str, Any]:
        sequence, pooled = model(inputs)
        return {"pooled_output": pooled, "sequence_output": sequence, "default": pooled}

    module.__call__ = call
    return module


def encoder_model(checkpoint: Checkpoint, length: int) -> Any:
    """Build the Keras model `[sequence_output, pooled_output]` of the three inputs, with the checkpoint's weights."""
    import tf_keras as keras

    from jobs.models.encoder import Encoder, Padding, Positions
    from jobs.models.model import load_weights

    config, weights = checkpoint.config, checkpoint.tensors(pooler=True)  # first: they say whether the sizes are so
    words, mask, segments = (
        keras.Input((length,), dtype="int32", name=name) for name in ("input_word_ids", "input_mask", "input_type_ids")
    )
    layers = Encoder(config.sizes(), dropout=0.0, stochastic_depth=0.0, seed=0)
    embedded = [
        layers.embed(words, config.vocab_size, "words"),
        layers.embed(Positions(name="position_ids")(words), length, "positions"),
        layers.embed(segments, config.type_vocab_size, "segments"),
    ]
    x = layers.norm(keras.layers.Add(name="embedding")(embedded), "embedding_norm")
    padding = Padding(name="padding")(mask)
    x = layers.encode(x, padding)
    model = keras.Model([words, mask, segments], [x, layers.pooled(x, padding, "pooler")], name="encoder")
    weights["positions/embeddings"] = weights["positions/embeddings"][:length]
    load_weights(model, weights, checkpoint.where)
    return model
