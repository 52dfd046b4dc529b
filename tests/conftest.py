"""Fixtures that several packages' tests share: an object store on loopback."""

from __future__ import annotations

import logging
import uuid
from collections.abc import Iterator

import pytest

from cluster.folder import Folder


@pytest.fixture(scope="session")
def s3_address() -> Iterator[str]:
    """Run an S3 server on a free port of loopback, with the bucket `espalier`; yield its address."""
    from moto.server import ThreadedMotoServer  # seconds to import, for a few tests

    logging.getLogger("werkzeug").setLevel(logging.ERROR)
    server = ThreadedMotoServer(ip_address="127.0.0.1", port=0, verbose=False)
    server.start()
    host, port = server.get_host_and_port()
    with pytest.MonkeyPatch.context() as patch:
        patch.setenv("AWS_ACCESS_KEY_ID", "test")
        patch.setenv("AWS_SECRET_ACCESS_KEY", "test")
        patch.setenv("AWS_DEFAULT_REGION", "us-east-1")
        patch.setenv("AWS_EC2_METADATA_DISABLED", "true")
        import boto3

        boto3.client("s3", endpoint_url=f"http://{host}:{port}").create_bucket(Bucket="espalier")
        yield f"{host}:{port}"
    server.stop()


@pytest.fixture
def s3_root(s3_address: str) -> Folder:
    """Return an empty folder on the S3 server."""
    return Folder.parse(f"s3://espalier/{uuid.uuid4().hex}?endpoint_override={s3_address}&scheme=http")
