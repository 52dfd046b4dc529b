"""Where labelled rows come from: one file a source, one import line here."""

from jobs.data.sources.digits import Digits as Digits
from jobs.data.sources.docstrings import Docstrings as Docstrings
from jobs.data.sources.huggingface import HuggingFace as HuggingFace
from jobs.data.sources.images import Images as Images
from jobs.data.sources.source import Source as Source
from jobs.data.sources.table import Table as Table
from jobs.data.sources.tfrecord import TFRecord as TFRecord
