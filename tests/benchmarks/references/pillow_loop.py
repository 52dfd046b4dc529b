"""A bare Pillow loop: each file opened, made RGB, resized with the bilinear filter, as an array."""

import json
import sys
import time
from pathlib import Path

import numpy as np
from PIL import Image

from tests.benchmarks.prepare_images import fingerprint

settings = json.loads(sys.argv[1])
size = (settings["side"], settings["side"])
files = sorted(Path(settings["folder"]).rglob("*.jpg"))
images = np.empty((len(files), *size, 3), np.uint8)
started = time.perf_counter()
for index, file in enumerate(files):
    with Image.open(file) as image:
        images[index] = np.asarray(image.convert("RGB").resize(size, Image.Resampling.BILINEAR))
rate = len(files) / (time.perf_counter() - started)
print(json.dumps({"rate": rate, "pixels": fingerprint(images)}))
