"""Fixtures that several packages' tests share: an object store on loopback, one Ray cluster, digits as a data set."""

from __future__ import annotations

import logging
import os
import uuid
from collections.abc import Iterator
from pathlib import Path

import pytest

from cluster.environment import variables
from cluster.folder import Folder
from cluster.session import connected
from jobs.serving.haproxy.front import haproxy
from jobs.strategies.imports import TRAINING

# Worker processes import the tests' own jobs from here; the variables must be set before TensorFlow is imported.
os.environ["PYTHONPATH"] = str(Path(__file__).parent.parent)
os.environ.update(variables())


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


@pytest.fixture(scope="session")
def ray_cluster() -> Iterator[None]:
    """Hold one Ray cluster for the whole session: three logical CPUs, whatever the machine has; workers start warm."""
    with connected("local", cpus=3, warm=TRAINING, front=haproxy):
        yield


@pytest.fixture(scope="session")
def digits(tmp_path_factory: pytest.TempPathFactory) -> Folder:
    """Return the folder of the bundled digits as a Dataset artifact."""
    from jobs.data.prepare import prepare
    from jobs.kinds.dataset import DatasetJob

    folder = Folder.parse(str(tmp_path_factory.mktemp("digits") / "data"))
    job = DatasetJob.model_validate({"job": "dataset", "source": {"kind": "digits"}})
    with folder.filling() as path:
        prepare(job, path, lambda event: None).save(folder)
    return folder


@pytest.fixture(scope="session")
def pairs(tmp_path_factory: pytest.TempPathFactory) -> Folder:
    """Return the folder of a small data set of pairs: digits, each with a docstring."""
    from tests.jobs.data.making import made, pair_table

    root = tmp_path_factory.mktemp("pairs")
    source = {"kind": "table", "path": str(pair_table(root / "t.parquet", 400)), "image": "image", "text": "text"}
    dataset, _ = made(root / "data", source)
    return dataset.save(dataset.folder).folder


@pytest.fixture(scope="session")
def texts(tmp_path_factory: pytest.TempPathFactory) -> Folder:
    """Return the folder of a small text data set: sentences about two things."""
    from jobs.data.prepare import prepare
    from jobs.kinds.dataset import DatasetJob

    root = tmp_path_factory.mktemp("texts")
    about = {"trees": "oak branch leaf root bark forest", "ships": "mast sail harbour anchor deck wave"}
    lines = ["text,label"]
    for number in range(200):
        label = ("trees", "ships")[number % 2]
        words = about[label].split()
        lines.append(f"{words[number % 6]} and {words[number // 6 % 6]} {number},{label}")
    (root / "texts.csv").write_text("\n".join(lines) + "\n")
    source = {"kind": "table", "path": str(root / "texts.csv"), "text": "text", "label": "label"}
    folder = Folder.parse(str(root / "data"))
    with folder.filling() as path:
        prepare(DatasetJob.model_validate({"job": "dataset", "source": source}), path, lambda event: None).save(folder)
    return folder
