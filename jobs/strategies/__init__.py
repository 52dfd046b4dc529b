"""How training is spread over workers, one file a strategy. A new strategy is one file and one line here."""

from jobs.strategies.single import Single
from jobs.strategies.strategy import Strategy

__all__ = ["DEFAULT", "Single", "Strategy"]

DEFAULT = Single()

Strategy.found_in(
    {
        "data_parallel": "jobs.strategies.data_parallel",
        "federated": "jobs.strategies.federated.federated",
        "parameter_server": "jobs.strategies.parameter_server.parameter_server",
        "model_parallel": "jobs.strategies.model_parallel.model_parallel",
        "single": "jobs.strategies.single",
    }
)
