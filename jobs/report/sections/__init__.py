"""The sections of the report, one file each. A new section is one file and one line here."""

from jobs.report.sections.calibration import calibration as calibration
from jobs.report.sections.classes import classes as classes
from jobs.report.sections.comparison import comparison as comparison
from jobs.report.sections.compressed import budget as budget
from jobs.report.sections.compressed import layers as layers
from jobs.report.sections.compressed import losses as losses
from jobs.report.sections.compressed import members as members
from jobs.report.sections.data import data as data
from jobs.report.sections.definition import definition as definition
from jobs.report.sections.endpoint import endpoint as endpoint
from jobs.report.sections.history import history as history
from jobs.report.sections.origin import origin as origin
from jobs.report.sections.precision_recall import precision_recall as precision_recall
from jobs.report.sections.promises import forms as forms
from jobs.report.sections.promises import promises as promises
from jobs.report.sections.scaling import scaling as scaling
from jobs.report.sections.search import search as search
from jobs.report.sections.speed import speed as speed
from jobs.report.sections.sweep import sweep as sweep
