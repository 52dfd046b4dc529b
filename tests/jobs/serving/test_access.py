"""What the access log says of requests, and what it does not."""

from __future__ import annotations

import asyncio
import base64
import json
from pathlib import Path

import pytest

from cluster.folder import Folder
from jobs.runtime.classifier import golden_rows
from jobs.serving.answering.access import AccessLog
from jobs.serving.keys import new_key
from tests.jobs.serving.conftest import app_of, ask, asked

pytestmark = pytest.mark.training


def test_a_line_tells_who_asked_for_what_but_not_what_was_asked(model: Folder, tmp_path: Path) -> None:
    log = AccessLog(tmp_path / "access.log")
    secret, kept = new_key("shop")
    app = app_of(asked(model), keys=[kept], observers=[log])
    row = golden_rows(model.path)[0]
    assert isinstance(row, bytes)
    headers = {"authorization": f"Bearer {secret}", "x-request-id": "order-7"}
    assert ask(app, "POST", "/v1/classify", row, "image/png", headers=headers).headers[b"x-request-id"] == b"order-7"
    encoded = base64.b64encode(row).decode()
    body = json.dumps({"images": [encoded, encoded]}).encode()
    ask(app, "POST", "/v1/classify", body, "application/json", headers=headers | {"x-request-id": "a b"})
    assert ask(app, "GET", f"/v2/models/{secret}", headers={"authorization": "Bearer wrong"}).status == 401
    asyncio.run(log.close())
    text = log.file.read_text()
    lines = [json.loads(line) for line in text.splitlines()]
    told = [(one["protocol"], one["path"], one["status"], one["rows"], one["version"], one["key"]) for one in lines]
    version = asked(model).version
    assert told == [
        ("http", "/v1/classify", 200, 1, version, "shop"),
        ("http", "/v1/classify", 200, 2, version, "shop"),
        ("http", "/v2/models/{name}", 401, 0, "", ""),
    ]
    assert lines[0]["id"] == "order-7"
    assert lines[1]["id"] != "a b"
    assert set(lines[0]) == {"at", "id", "protocol", "model", "path", "status", "ms", "rows", "version", "key"}
    assert secret not in text
    assert encoded not in text
