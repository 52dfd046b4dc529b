"""ResNet-20 on Ray Serve as tutorials have it, `model.predict` a request. A weak reference; its weights are new."""

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


def resnet20() -> Any:
    from tf_keras import Input, Model, layers

    x = inputs = Input((32, 32, 3))
    for stage, width in enumerate((16, 16, 32, 64)):
        for _ in range(3 if stage else 1):
            stride = 2 if x.shape[-1] != width and stage > 1 else 1
            y = layers.Activation("relu")(layers.BatchNormalization()(layers.Conv2D(width, 3, stride, "same")(x)))
            y = layers.BatchNormalization()(layers.Conv2D(width, 3, 1, "same")(y)) if stage else y
            short = layers.Conv2D(width, 1, stride)(x) if x.shape[-1] != width else x
            x = layers.Activation("relu")(layers.add([y, short])) if stage else y
    return Model(inputs, layers.Dense(10)(layers.GlobalAveragePooling2D()(x)))


@serve.deployment(max_ongoing_requests=100)
@serve.ingress(app)
class Classifier:
    def __init__(self) -> None:
        self.model = resnet20()

    @app.post("/classify")
    async def classify(self, request: Request) -> dict[str, Any]:
        rows = np.asarray(Image.open(io.BytesIO(await request.body())).convert("RGB"), np.float32)[None]
        return {"logits": self.model.predict(rows, verbose=0)[0].tolist()}


ray.init("local", num_cpus=2, include_dashboard=False, log_to_driver=False)
serve.start(http_options={"host": "127.0.0.1", "port": settings["port"]})
serve.run(Classifier.bind())  # type: ignore[attr-defined]
Path(settings["address"]).write_text(f"http://127.0.0.1:{settings['port']}")
time.sleep(3600)
