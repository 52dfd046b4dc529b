"""Why a request is not answered: one exception, for HTTP and gRPC alike."""

from __future__ import annotations


class Refused(Exception):  # noqa: N818  the client is at fault
    """A request that is not answered: an HTTP status, the reason, and seconds after which to come again, if ever."""

    def __init__(self, status: int, reason: str, retry_after: int = 0) -> None:
        super().__init__(status, reason, retry_after)
        self.status = status
        self.reason = reason
        self.retry_after = retry_after
