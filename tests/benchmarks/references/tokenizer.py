"""A text classifier without a server, as a skilled user runs it: the tokenizer and one LiteRT interpreter in a loop."""

import json
import sys
import time

import numpy as np
from ai_edge_litert.interpreter import Interpreter
from tokenizers import Tokenizer

settings = json.loads(sys.argv[1])
texts, length = settings["texts"], settings["length"]
tokenizer = Tokenizer.from_file(settings["tokenizer"])
tokenizer.enable_truncation(length)
tokenizer.enable_padding(length=length)
interpreter = Interpreter(model_path=settings["file"], num_threads=1)
given, made = interpreter.get_input_details()[0], interpreter.get_output_details()[0]
interpreter.resize_tensor_input(given["index"], [len(texts), length])
interpreter.allocate_tensors()
began, rounds = time.perf_counter(), 0
while time.perf_counter() - began < settings["seconds"]:
    tokens = np.array([encoding.ids for encoding in tokenizer.encode_batch(texts)], given["dtype"])
    interpreter.set_tensor(given["index"], tokens)
    interpreter.invoke()
    logits = interpreter.get_tensor(made["index"]) / settings["temperature"]
    rounds += 1
rate = rounds * len(texts) / (time.perf_counter() - began)
print(json.dumps({"rows_per_second": rate, "classes": logits.argmax(1).tolist()}))
