"""The kinds of job, one file each; importing this package makes every one known to definitions."""

from jobs.kinds.compress import Compress
from jobs.kinds.dataset import DatasetJob
from jobs.kinds.deploy import Deploy
from jobs.kinds.evaluate import Evaluate
from jobs.kinds.report import ReportJob
from jobs.kinds.score import Score
from jobs.kinds.train import Train

__all__ = ["Compress", "DatasetJob", "Deploy", "Evaluate", "ReportJob", "Score", "Train"]
