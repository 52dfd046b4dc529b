"""The command line's entry: `espalier …` or `python -m pipelines …`; errors become exit codes."""

from __future__ import annotations

import sys

from cluster.errors import EspalierError


def main() -> None:
    """Run the command line: 0 done, 2 the request is wrong, 3 a step failed, 4 the cluster cannot, 130 stopped."""
    from pipelines.commands import app

    try:
        app()
    except EspalierError as error:
        print(f"error: {error}", file=sys.stderr)
        sys.exit(error.exit_code)


if __name__ == "__main__":
    main()
