"""The commands, one file each: parse, call, print."""

from pipelines.commands.app import app
from pipelines.commands.fresh import fresh
from pipelines.commands.gc import gc
from pipelines.commands.logs import logs
from pipelines.commands.plan import plan
from pipelines.commands.predict import predict
from pipelines.commands.run import run
from pipelines.commands.schema import schema
from pipelines.commands.serve import serve
from pipelines.commands.status import status
from pipelines.commands.validate import validate

__all__ = ["app", "fresh", "gc", "logs", "plan", "predict", "run", "schema", "serve", "status", "validate"]
