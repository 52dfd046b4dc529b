"""The sections of the report, one file each. A new section is one file and one line here."""

from jobs.report.sections.classes import classes
from jobs.report.sections.comparison import comparison
from jobs.report.sections.data import data
from jobs.report.sections.definition import definition
from jobs.report.sections.endpoint import endpoint
from jobs.report.sections.history import history
from jobs.report.sections.origin import origin
from jobs.report.sections.promises import promises

__all__ = ["classes", "comparison", "data", "definition", "endpoint", "history", "origin", "promises"]
