"""The same classifier on Ray Serve as its documentation has it: FastAPI ingress, Serve's own proxy, one replica."""

import io
import json
import sys
import time
from pathlib import Path
from typing import Any

import numpy as np
import ray
from fastapi import FastAPI, Request
from PIL import Image
from ray import serve

settings = json.loads(sys.argv[1])
app = FastAPI()


@serve.deployment(max_ongoing_requests=100)
@serve.ingress(app)
class Classifier:
    def __init__(self) -> None:
        from ai_edge_litert.interpreter import Interpreter

        self.interpreter = Interpreter(model_path=settings["file"], num_threads=1)
        self.interpreter.allocate_tensors()

    def run(self, rows: Any) -> Any:
        given, made = self.interpreter.get_input_details()[0], self.interpreter.get_output_details()[0]
        self.interpreter.set_tensor(given["index"], rows.astype(given["dtype"]))
        self.interpreter.invoke()
        return self.interpreter.get_tensor(made["index"])

    @app.post("/classify")
    async def classify(self, request: Request) -> dict[str, Any]:
        rows = np.asarray(Image.open(io.BytesIO(await request.body())).convert("RGB"))[None]
        logits = self.run(rows)[0] / settings["temperature"]
        shares = np.exp(logits - logits.max())
        shares /= shares.sum()
        best = shares.argsort()[::-1][:3]
        return {"top": [{"label": settings["classes"][i], "probability": float(shares[i])} for i in best]}


ray.init("local", num_cpus=2, include_dashboard=False, log_to_driver=False)
serve.start(http_options={"host": "127.0.0.1", "port": settings["port"]})
serve.run(Classifier.bind())  # type: ignore[attr-defined]
Path(settings["address"]).write_text(f"http://127.0.0.1:{settings['port']}")
time.sleep(3600)
