"""Runs in MLflow."""

from __future__ import annotations

from typing import ClassVar

from tunesmith import plugin
from tunesmith_library_tracking import Sink, Tracked


@plugin
class MLflow(Tracked):
    """Keeps runs in MLflow: with a server, in a database, or in a folder.

    A server's password or token comes from MLFLOW_TRACKING_USERNAME and MLFLOW_TRACKING_PASSWORD, or
    MLFLOW_TRACKING_TOKEN.
    """

    program: ClassVar[str] = "mlflow"
    package: ClassVar[str] = "mlflow"
    install: ClassVar[str] = "pip install 'tunesmith-tracker-mlflow[program]'"
    guarded: ClassVar[tuple[str, ...]] = ("tracking_uri", "experiment", "log_model")  # where what is sent

    # http://HOST:PORT, sqlite:///FILE or a folder; null is MLFLOW_TRACKING_URI, else MLflow's own: sqlite:///mlflow.db
    tracking_uri: str | None = None
    experiment: str | None = None  # null is MLFLOW_EXPERIMENT_NAME, else tunesmith
    tags: dict[str, str] = {}  # by which runs are found; those of MLFLOW_TAGS, too
    notes: str | None = None  # what the run is about, in Markdown
    log_model: bool = False  # whether the files of the result are copied to where MLflow keeps its artefacts

    def sink(self) -> Sink:
        from .sink import MLflowSink

        return MLflowSink(self)
