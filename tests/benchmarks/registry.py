"""Every benchmark there is, in the order they run. A new one is one file and one line here."""

from __future__ import annotations

from tests.benchmarks.cached_run import CachedRun
from tests.benchmarks.checkpoint_tax import CheckpointTax
from tests.benchmarks.compress_scaling import CompressScaling
from tests.benchmarks.data_parallel import DataParallel
from tests.benchmarks.data_parallel_scaling import DataParallelScaling
from tests.benchmarks.feed import Feed, FeedNumpy
from tests.benchmarks.feed_jpeg import FeedJpeg
from tests.benchmarks.harness import Benchmark
from tests.benchmarks.idle_nodes import IdleNodes
from tests.benchmarks.open_dataset import OpenDataset
from tests.benchmarks.parameter_server import ParameterServer, ParameterServerTen
from tests.benchmarks.plan import Plan
from tests.benchmarks.population import Population
from tests.benchmarks.prepare_images import PrepareImages
from tests.benchmarks.prepare_memory import PrepareMemory, PrepareMemoryNodes
from tests.benchmarks.quantized_speed import QuantizedSpeed
from tests.benchmarks.quickstart import Quickstart
from tests.benchmarks.recovery import Recovery
from tests.benchmarks.replica_uss import ReplicaUss
from tests.benchmarks.score import ScoreSpeed
from tests.benchmarks.serving.cold import ServeCold
from tests.benchmarks.serving.members import (
    ServeEmpty,
    ServeLatency,
    ServePredict,
    ServeRequests,
    ServeRows,
    ServeStock,
    ServeTail,
    ServeText,
)
from tests.benchmarks.step_overhead import StepOverhead
from tests.benchmarks.structured_speed import StructuredSpeed
from tests.benchmarks.submit import Submit
from tests.benchmarks.sweep import SweepSequential, SweepStock
from tests.benchmarks.trial_overhead import TrialOverhead, TrialOverheadRetraced
from tests.benchmarks.turnaround import TurnaroundCold, TurnaroundWarm
from tests.benchmarks.validate import Validate

BENCHMARKS: tuple[type[Benchmark], ...] = (
    Validate,
    Plan,
    CachedRun,
    Feed,
    FeedNumpy,
    FeedJpeg,
    OpenDataset,
    PrepareImages,
    PrepareMemory,
    PrepareMemoryNodes,
    DataParallel,
    CheckpointTax,
    Recovery,
    ParameterServer,
    ParameterServerTen,
    DataParallelScaling,
    CompressScaling,
    TurnaroundCold,
    TurnaroundWarm,
    Quickstart,
    ReplicaUss,
    ScoreSpeed,
    QuantizedSpeed,
    ServeRequests,
    ServeTail,
    ServeLatency,
    ServeEmpty,
    ServeRows,
    ServeCold,
    ServeStock,
    ServePredict,
    ServeText,
    SweepSequential,
    SweepStock,
    Population,
    TrialOverhead,
    TrialOverheadRetraced,
    StructuredSpeed,
    Submit,
    StepOverhead,
    IdleNodes,
)
