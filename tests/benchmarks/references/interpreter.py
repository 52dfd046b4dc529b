"""LiteRT as a skilled user runs it over many rows: one thread, one interpreter sized for the batch, rows in memory."""

import json
import sys
import time

import numpy as np
from ai_edge_litert.interpreter import Interpreter

settings = json.loads(sys.argv[1])
batch = settings["batch"]
x = np.load(settings["rows"])
interpreter = Interpreter(model_path=settings["file"], num_threads=1)
given, made = interpreter.get_input_details()[0], interpreter.get_output_details()[0]
interpreter.resize_tensor_input(given["index"], [batch, *x.shape[1:]])
interpreter.allocate_tensors()
x = x.astype(given["dtype"])
found = np.empty(len(x), np.int32)
for warm in (True, False):
    started = time.perf_counter()
    for start in range(0, batch if warm else len(x), batch):
        interpreter.set_tensor(given["index"], x[start : start + batch])
        interpreter.invoke()
        found[start : start + batch] = interpreter.get_tensor(made["index"]).argmax(1)
seconds = time.perf_counter() - started
np.save(settings["out"], found)
print(json.dumps({"rows_per_second": len(x) / seconds}))
