"""Limits and threads that change with a redeployment, of versions that are loaded already."""

from __future__ import annotations

import asyncio
import json
from typing import Any

import numpy as np
import pytest
import tritonclient.grpc as triton

from cluster.folder import Folder
from jobs.runtime.classifier import as_json, golden_rows
from jobs.serving.application import Place
from jobs.serving.keys import new_key
from jobs.serving.limits import Limits
from jobs.serving.plan import Plan
from jobs.serving.replica import Replica
from jobs.serving.rollout import Candidate, replace
from tests.jobs.serving.conftest import asked, asking, free_port
from tests.jobs.serving.replicas import Replicas
from tests.jobs.serving.test_rpc import inputs_of, refused

pytestmark = pytest.mark.training


def plan_of(model: Folder, **fields: Any) -> Plan:
    return Plan(model="digits", versions=[asked(model)], more={"second": asked(model)}, **fields)


def replica_of(plan: Plan, grpc_port: int | None = None) -> Replica:
    return Replica(plan.model_dump(mode="json"), "127.0.0.1", grpc_port)


def test_limits_hold_for_versions_that_were_loaded_under_others(model: Folder) -> None:
    images = [as_json(row)["image"] for row in golden_rows(model.path)[:3]]
    pixels = {"name": "image", "datatype": "UINT8", "shape": [3, 8, 8, 1], "data": [0] * 192}
    bodies = {"infer": json.dumps({"inputs": [pixels]}).encode(), "classify": json.dumps({"images": images}).encode()}
    replica = replica_of(plan_of(model))

    async def statuses(limits: Limits) -> list[int]:
        await replica.steer(plan_of(model, limits=limits).model_dump(mode="json"))
        found = []
        for path in ("v2/models/digits/infer", "v2/models/second/infer", "v1/models/second/classify"):
            body = bodies[path.rpartition("/")[2]]
            found.append((await asking(replica._application, "POST", f"/{path}", body, "application/json")).status)
        for name in ("digits", "second"):
            card = await asking(replica._application, "GET", f"/v1/models/{name}")
            assert card.json["limits"] == limits.model_dump(mode="json")
        return found

    async def both() -> list[list[int]]:
        return [await statuses(Limits()), await statuses(Limits(items=2)), await statuses(Limits(items=3))]

    assert asyncio.run(both()) == [[200] * 3, [400, 400, 422], [200] * 3]


def test_messages_over_grpc_are_held_to_the_cap_of_now(model: Folder) -> None:
    port = free_port()
    replica = replica_of(plan_of(model, limits=Limits(body_bytes=100_000)), port)
    given = inputs_of(np.zeros((4000, 8, 8, 1), np.uint8), "UINT8")

    async def steered(limits: Limits) -> None:
        await replica.steer(plan_of(model, limits=limits).model_dump(mode="json"))

    async def both() -> None:
        await steered(Limits(body_bytes=100_000))
        found = await asyncio.to_thread(refused, f"127.0.0.1:{port}", "digits", given)
        assert found[0] == "StatusCode.RESOURCE_EXHAUSTED"
        await steered(Limits(body_bytes=1_000_000, items=4096))
        client = triton.InferenceServerClient(f"127.0.0.1:{port}")
        answer = await asyncio.to_thread(client.infer, "digits", given)
        assert answer.as_numpy("probabilities").shape == (4000, 10)
        client.close()
        await replica._close()

    asyncio.run(both())


def test_a_lane_has_as_many_threads_as_the_plan_says_now(model: Folder) -> None:
    replica = replica_of(plan_of(model))
    held = replica.models.own.versions[asked(model).version]
    row = held.classifier.prepared(held.golden[:1])

    async def answered() -> Any:
        held.lane.row_seconds = 1.0  # to the threads
        return (await held.probabilities(row)).tobytes()

    async def steered() -> list[Any]:
        found = [await answered()]
        for threads in (3, 1):
            before = held.lane._threads
            await replica.steer(plan_of(model, threads=threads).model_dump(mode="json"))
            found.append(await answered())
            assert len(held.lane._threads) == threads
            for thread in before:
                await asyncio.to_thread(thread.join, 5)
                assert not thread.is_alive()
        return found

    assert len(set(asyncio.run(steered()))) == 1
    assert replica.models.own.tallies[asked(model).version].requests == 0  # it is the version that was there


def test_a_redeployment_says_limits_and_threads_anew(model: Folder) -> None:
    control = Replicas(plan_of(model), "a")
    limits = Limits(items=2)
    place = Place(application="digits", host="127.0.0.1", port=0, replicas=1, cpus=2.5, limits=limits)
    outcome = replace(control, place, Candidate(asked(model), []), {}, lambda event: None, new_key("a")[1])
    assert (outcome, control.plan().limits, control.plan().threads) == ("serves already", limits, 2)
