"""How training is spread over workers. A new strategy is one file and one line here."""

from jobs.strategies.data_parallel import DataParallel
from jobs.strategies.single import Single
from jobs.strategies.strategy import Strategy

__all__ = ["DEFAULT", "DataParallel", "Single", "Strategy"]

DEFAULT = Single()
