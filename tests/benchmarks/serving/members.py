"""`serve_…`: requests a second and latency beside what a skilled user serves with; all on one machine."""

from __future__ import annotations

import json
from collections.abc import Iterator
from pathlib import Path
from typing import ClassVar

import numpy as np

from tests.benchmarks.harness import Benchmark
from tests.benchmarks.processes import python
from tests.benchmarks.serving.load import CLIENT, Asked, Load, load
from tests.benchmarks.serving.servers import answer, espalier
from tests.benchmarks.serving.stand import STAND, WORDS, Images, text_model

MODEL = "classifier"  # as `espalier serve` calls it
SECONDS = 2.0
MANY = 32
SAID = ("sum list of numbers", "reads lines from file", "writes each to another", "closes it")
CLOSE = 1e-5  # between probabilities of the same file: the softmax is written twice


class Serving(Benchmark):
    """Asks ours and a reference the same; what they answer must be the same, too."""

    module: ClassVar[str] = "bare_server"
    connections: ClassVar[int] = 16

    def prepare(self, work: Path) -> None:
        """Start both servers, and load each once."""
        self.images = Images(work)
        self._loads = (self.asked_ours(), self.asked_reference())
        for asked in self._loads:
            load(asked, self.connections, 1)

    def asked_ours(self) -> Asked:
        """Return what ours is asked."""
        return self.images.asked()

    def asked_reference(self) -> Asked:
        """Return what the reference is asked."""
        return self.images.asked_of(self.module)

    def figure(self, found: Load) -> float:
        """Return what is compared."""
        return found.requests_per_second

    def ours(self) -> float:
        """Load ours."""
        return self.figure(load(self._loads[0], self.connections, SECONDS))

    def reference(self) -> float | None:
        """Load the reference."""
        return self.figure(load(self._loads[1], self.connections, SECONDS))

    def faults(self) -> Iterator[str]:
        """Yield where the same image gets another answer."""
        ours, other = (answer(asked) for asked in self._loads)
        found = [(one["label"], one["probability"]) for one in ours["predictions"][0]["top"]]
        wanted = [(one["label"], one["probability"]) for one in other["top"]]
        for (label, share), (its_label, its_share) in zip(found, wanted, strict=True):
            if label != its_label or abs(share - its_share) > CLOSE:
                yield f"ours says {label} {share}, the reference {its_label} {its_share}"


class ServeRequests(Serving):
    """The server with its guards on, one replica, against one process of uvicorn without any."""

    id = "serve_requests"
    name = f"single images to ResNet-20 (int8), 16 connections, against FastAPI, uvicorn and LiteRT; client: {CLIENT}"
    unit = "requests/s"
    better = "higher"
    target = 0.9
    whole_interval = True


class ServeTail(Serving):
    """The same, its slowest hundredth."""

    id = "serve_p99"
    name = "99th percentile of the latency of serve_requests"
    unit = "ms"
    better = "lower"
    target = 2.0

    def figure(self, found: Load) -> float:
        """Return the latency that one in a hundred is over."""
        return found.p99_ms


class ServeStock(ServeRequests):
    """Against Ray Serve as it comes."""

    id = "serve_stock"
    name = "serve_requests against Ray Serve's own proxy, FastAPI ingress and LiteRT"
    module = "stock_serve"
    target = 8.0
    whole_interval = False


class ServePredict(ServeStock):
    """Against Ray Serve with `model.predict`."""

    id = "serve_predict"
    name = "serve_requests against Ray Serve's own proxy and model.predict (a weak reference)"
    module = "predict_serve"
    target = 50.0

    def faults(self) -> Iterator[str]:
        """Yield nothing: the reference's weights are others."""
        yield from ()


class ServeLatency(Serving):
    """What the way through HAProxy, guard and replica adds to one request at a time."""

    id = "serve_latency"
    name = "median latency of single images to ResNet-20 (int8) above the bare server's, one connection"
    unit = "ms"
    better = "lower"
    limit = 1.5
    connections = 1

    def ours(self) -> float:
        """Return our median less the reference's."""
        ours, other = (load(asked, 1, SECONDS) for asked in self._loads)
        return ours.p50_ms - other.p50_ms

    def reference(self) -> float | None:
        """Return nothing: the difference is the figure."""
        return None


class ServeEmpty(Serving):
    """Requests that need no model, yet pass the guard."""

    id = "serve_empty"
    name = "requests without a model, 32 connections, against an empty FastAPI handler"
    unit = "requests/s"
    better = "higher"
    target = 0.5
    connections = 32

    def asked_ours(self) -> Asked:
        """Return the question whether the model is ready."""
        return Asked(f"{self.images.ours()}/v2/models/{MODEL}/ready")

    def asked_reference(self) -> Asked:
        """Return the question to a handler that does nothing."""
        return Asked(f"{self.images.other(self.module)}/empty")

    def faults(self) -> Iterator[str]:
        """Yield nothing: wrk counts answers that are not 200."""
        yield from ()


class ServeRows(Benchmark):
    """Rows in the open protocol's binary form, 32 a request, against the interpreter alone."""

    id = "serve_rows"
    name = f"rows of {MANY} a request to ResNet-20 (int8) as tensors, against the interpreter alone, one thread"
    unit = "rows/s"
    better = "higher"
    target = 0.8

    def prepare(self, work: Path) -> None:
        """Start our server, and make rows."""
        self.images, self.work = Images(work), work
        shape = (MANY, 32, 32, 3)
        self.rows = np.random.default_rng(0).integers(0, 256, shape, dtype=np.uint8)
        np.save(work / "rows.npy", np.concatenate([self.rows] * 32))
        head = {
            "name": "image",
            "datatype": "UINT8",
            "shape": shape,
            "parameters": {"binary_data_size": self.rows.nbytes},
        }
        document = json.dumps({"inputs": [head]}).encode()
        url = f"{self.images.ours()}/v2/models/{MODEL}/infer"
        length = str(len(document))
        self.asked = Asked(url, document + self.rows.tobytes(), "application/octet-stream", length)
        load(self.asked, 2, 1)

    def ours(self) -> float:
        """Return the rows a second over two connections, so that one request waits while the other is answered."""
        return MANY * load(self.asked, 2, SECONDS).requests_per_second

    def reference(self) -> float:
        """Return the rows a second of the interpreter."""
        model = self.images.model
        file = str(model.folder.fetch() / model.served)
        given = {"batch": MANY, "rows": str(self.work / "rows.npy"), "file": file, "out": str(self.work / "found.npy")}
        ran = python("-m", "tests.benchmarks.references.interpreter", json.dumps(given))
        return float(json.loads(ran.output)["rows_per_second"])

    def faults(self) -> Iterator[str]:
        """Yield where a row gets another class."""
        wanted = np.load(self.work / "found.npy")[:MANY]
        said = answer(self.asked)
        shares = next(output for output in said["outputs"] if output["name"] == "probabilities")["data"]
        found = np.array(shares).reshape(MANY, -1).argmax(1)
        if different := int((found != wanted).sum()):
            yield f"{different} of {MANY} rows get another class"


class ServeText(Benchmark):
    """Texts, 32 a request, against tokenizer and interpreter in a loop."""

    id = "serve_text"
    name = (
        f"texts, {MANY} a request, to text_cnn of {WORDS} tokens (int8), against tokenizer and interpreter, one thread"
    )
    unit = "rows/s"
    better = "higher"
    target = 0.8

    def prepare(self, work: Path) -> None:
        """Start our server."""
        STAND.end()
        self.model = text_model(work)
        self.texts = [" ".join(SAID[(row + k) % len(SAID)] for k in range(12)) for row in range(MANY)]
        self.url = STAND.url("texts", lambda: espalier(self.model))
        self.asked = Asked(f"{self.url}/v1/classify", json.dumps({"texts": self.texts}).encode(), "application/json")
        self.found: list[int] = []
        load(self.asked, 2, 1)

    def ours(self) -> float:
        """Return the texts a second over two connections."""
        return MANY * load(self.asked, 2, SECONDS).requests_per_second

    def reference(self) -> float:
        """Return the texts a second of tokenizer and interpreter."""
        path = self.model.folder.fetch()
        given = {"texts": self.texts, "length": WORDS, "tokenizer": str(path / "tokenizer.json"), "seconds": SECONDS}
        given |= {"file": str(path / self.model.served), "temperature": self.model.temperature}
        said = json.loads(python("-m", "tests.benchmarks.references.tokenizer", json.dumps(given)).output)
        self.found = said["classes"]
        return float(said["rows_per_second"])

    def faults(self) -> Iterator[str]:
        """Yield where a text gets another class; end the server."""
        said = answer(self.asked)["predictions"]
        STAND.end()
        wanted = [self.model.classes[number] for number in self.found]
        if different := sum(one["label"] != label for one, label in zip(said, wanted, strict=True)):
            yield f"{different} of {MANY} texts get another class"
