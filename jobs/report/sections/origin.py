"""Where the page and what it shows come from: versions, commit, host, time, and checksums of data and files."""

from __future__ import annotations

import os
import platform
from datetime import UTC, datetime

from jobs.artifacts import Dataset, Model
from jobs.provenance import provenance
from jobs.report.blocks import Block, Facts, Table
from jobs.report.section import Artifacts, Part, only, section
from jobs.report.wording import count, counted


@section(place=90)
def origin(artifacts: Artifacts) -> Part:
    """Show what the page was made of, where and when."""
    made = provenance()
    facts = [
        ("Written", datetime.now(UTC).strftime("%Y-%m-%d %H:%M UTC")),
        ("Commit", made["commit"] or "not in a git working tree"),
        ("Host", f"{platform.node()}: {platform.platform()}, {counted(os.cpu_count() or 0, 'CPU', 'CPUs')}"),
    ]
    facts += [(f"Data of {name}", data.digest) for name, data in only(artifacts, Dataset).items() if data.digest]
    versions = [[package, version] for package, version in made["versions"].items()]
    blocks: list[Block] = [Facts(facts), Table("Versions", ("Package", "Version"), versions, texts=2)]
    if models := only(artifacts, Model):
        blocks.append(_files(models))
    return Part("Provenance", blocks)


def _files(models: dict[str, Model]) -> Table:
    rows = [
        [name, model.served, model.folder.sha256(model.served), count(model.size_bytes)]
        for name, model in models.items()
    ]
    return Table("Served files", ("Model", "File", "SHA-256", "Bytes"), rows, texts=3)
