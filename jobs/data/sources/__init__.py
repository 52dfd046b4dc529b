"""Where labelled rows come from: one file a source, one line here."""

from jobs.data.sources.source import Source

__all__ = ["Source"]

Source.found_in(
    {
        "digits": "jobs.data.sources.digits",
        "docstrings": "jobs.data.sources.docstrings",
        "huggingface": "jobs.data.sources.huggingface",
        "images": "jobs.data.sources.images",
        "table": "jobs.data.sources.table",
        "tfrecord": "jobs.data.sources.tfrecord",
    }
)
