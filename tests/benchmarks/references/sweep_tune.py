"""Ray Tune over TensorflowTrainer as Ray's own guide shows it, with ASHA; a trial reports each epoch."""

import json
import sys
import time
from typing import Any

import ray
import ray.train
import ray.train.tensorflow
import ray.tune
from ray.tune.integration.ray_train import TuneReportCallback
from ray.tune.schedulers import ASHAScheduler

settings = json.loads(sys.argv[1])


def train(config: dict[str, Any]) -> None:
    """What the one worker of a trial does."""
    import numpy as np
    import tf_keras as keras

    from tests.benchmarks.references.sweep_loop import compiled

    rows = np.load(config["data"])
    model = compiled(config["width"], config["classes"], config["values"])

    def report(epoch: int, logs: dict[str, float]) -> None:
        ray.train.report({"accuracy": logs["val_accuracy"], "epoch": epoch + 1})

    held = (rows["validation_x"], rows["validation_y"])
    told = keras.callbacks.LambdaCallback(on_epoch_end=report)
    options = {"epochs": config["epochs"], "batch_size": config["batch"], "verbose": 0, "callbacks": [told]}
    model.fit(rows["train_x"], rows["train_y"], validation_data=held, **options)


def trial(config: dict[str, Any]) -> None:
    """Start a trainer for the trial, and pass on what it reports."""
    name = f"train-{ray.tune.get_context().get_trial_id()}"
    place = ray.train.RunConfig(name=name, storage_path=settings["place"], callbacks=[TuneReportCallback()])
    # Groups of stopped trials hold what they had where no dashboard says who lives: of a whole CPU each, the sweep soon
    # waited for ever.
    group = ray.train.ScalingConfig(num_workers=1, resources_per_worker={"CPU": 0.1})
    options = {"scaling_config": group, "run_config": place}
    ray.train.tensorflow.TensorflowTrainer(train, train_loop_config=config, **options).fit()


ray.init(address="local", num_cpus=4, include_dashboard=False, dashboard_port=settings["port"], log_to_driver=False)
space = settings | {"values": ray.tune.grid_search(settings["values"])}
asha = ASHAScheduler("epoch", "accuracy", "max", max_t=settings["epochs"], grace_period=1, reduction_factor=3)
started = time.perf_counter()
found = ray.tune.Tuner(
    trial,
    param_space=space,
    tune_config=ray.tune.TuneConfig(scheduler=asha, max_concurrent_trials=2),
    run_config=ray.tune.RunConfig(storage_path=settings["place"], verbose=0),
).fit()
seconds, best = time.perf_counter() - started, found.get_best_result("accuracy", "max").metrics
print(json.dumps({"seconds": seconds, "accuracy": best["accuracy"], "errors": len(found.errors)}))
