"""Whether the cluster's token is there, and read by its owner alone."""

from __future__ import annotations

from collections.abc import Iterator

from cluster.doctor.check import Check, Finding, Seen
from cluster.submit.token import ITSELF, is_open, token_file


class Token(Check):
    """The token's file and who may read it."""

    name = "token"

    def look(self) -> dict[str, object]:
        """Return where the token is, and the file's mode."""
        import os

        path = token_file()
        if path is None or not path.is_file():
            return {"path": "", "environment": bool(os.environ.get(ITSELF)), "open": False}
        return {"path": str(path), "environment": False, "open": is_open(path)}

    def judge(self, seen: Seen, here: Seen) -> Iterator[Finding]:
        """Judge that there is one and that it is closed."""
        path = seen.facts["path"]
        if seen.facts["open"]:
            yield self.error(seen, f"{path} may be read by others", f"chmod 600 {path}")
        elif path or seen.facts["environment"]:
            yield self.ok(seen, f"in {path}, closed to others" if path else "in the environment")
        elif seen.here:
            remedy = "ray get-auth-token --generate && chmod 600 ~/.ray/auth_token, and start nodes with it"
            yield self.warning(seen, "there is none: whoever reaches a cluster's ports runs code there", remedy)
