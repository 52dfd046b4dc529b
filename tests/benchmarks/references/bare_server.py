"""A served classifier as a skilled user writes it without us: FastAPI, uvicorn, one LiteRT interpreter; no guards."""

import io
import json
import sys
from pathlib import Path
from typing import Any

import numpy as np
import uvicorn
from ai_edge_litert.interpreter import Interpreter
from fastapi import FastAPI, Request
from PIL import Image

settings = json.loads(sys.argv[1])
interpreter = Interpreter(model_path=settings["file"], num_threads=1)
given, made = interpreter.get_input_details()[0], interpreter.get_output_details()[0]
interpreter.allocate_tensors()
app = FastAPI()


@app.post("/classify")
async def classify(request: Request) -> dict[str, Any]:
    image = Image.open(io.BytesIO(await request.body())).convert("RGB")
    rows = np.asarray(image)[None].astype(given["dtype"])
    interpreter.set_tensor(given["index"], rows)
    interpreter.invoke()
    logits = interpreter.get_tensor(made["index"])[0] / settings["temperature"]
    shares = np.exp(logits - logits.max())
    shares /= shares.sum()
    best = shares.argsort()[::-1][:3]
    return {"top": [{"label": settings["classes"][i], "probability": float(shares[i])} for i in best]}


@app.get("/empty")
async def empty() -> dict[str, Any]:
    return {"ready": True}


config = uvicorn.Config(app, host="127.0.0.1", port=0, log_level="warning", access_log=False)
server = uvicorn.Server(config)
listener = config.bind_socket()
Path(settings["address"]).write_text(f"http://127.0.0.1:{listener.getsockname()[1]}")
server.run(sockets=[listener])
