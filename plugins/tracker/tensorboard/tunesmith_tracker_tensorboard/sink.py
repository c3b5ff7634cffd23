"""Event files, written with TensorBoard's own messages and without TensorFlow or torch."""

from __future__ import annotations

import os
import socket
import time
from collections.abc import Mapping
from pathlib import Path
from typing import IO, Any

from tunesmith_library_tracking.evaluations import markdown
from tunesmith_library_tracking.naming import flat
from tunesmith_library_tracking.sink import Start, Status, Table


class TensorBoardSink:
    """One event file for each part of a run; steps after a resumption take the place of those that were lost."""

    def __init__(self, folder: str) -> None:
        self._name = folder
        self._file: IO[bytes] | None = None
        self._records: Any = None

    def begin(self, start: Start) -> None:
        from tensorboard.compat.proto.event_pb2 import Event, SessionLog
        from tensorboard.plugins.hparams.summary_v2 import hparams_pb
        from tensorboard.summary.writer.record_writer import RecordWriter

        folder = start.output_dir / self._name
        folder.mkdir(parents=True, exist_ok=True)
        former = sorted(folder.glob("events.out.tfevents.*"))
        if not start.resumed_from:
            for file in former:
                file.unlink()
        place = f"{int(time.time()):010d}.{socket.gethostname()}.{os.getpid()}.{len(former)}"
        self._file = (folder / f"events.out.tfevents.{place}").open("wb")
        self._records = RecordWriter(self._file)
        self._write(Event(wall_time=time.time(), file_version="brain.Event:2"))
        if start.resumed_from:  # its reader then drops what it has of later steps
            log = SessionLog(status=SessionLog.START)
            self._write(Event(wall_time=time.time(), step=start.resumed_from + 1, session_log=log))
        options = {name: "null" if value is None else value for name, value in flat(start.config).items()}
        self._summary(hparams_pb(options, trial_id=start.name), 0)
        self._text("config", markdown([{"option": name, "value": value} for name, value in options.items()]), 0)

    def log(self, step: int, numbers: Mapping[str, float], time: float) -> None:
        from tensorboard.compat.proto.summary_pb2 import Summary

        values = [Summary.Value(tag=name, simple_value=value) for name, value in numbers.items()]
        self._summary(Summary(value=values), step, time)

    def table(self, table: Table) -> None:
        self._text(f"eval/{table.name}", markdown(table.numbers), table.step)
        if table.examples:
            said = f"\n\n{table.left_out} more are in the run's folder." if table.left_out else ""
            self._text(f"eval/{table.name}/examples", markdown(table.examples) + said, table.step)

    def result(self, folder: Path) -> None:
        self._text("result", f"`{folder.resolve()}`", 0)

    def end(self, status: Status, numbers: Mapping[str, float]) -> None:
        from tensorboard.compat.proto.summary_pb2 import Summary
        from tensorboard.plugins.hparams import api_pb2, metadata, plugin_data_pb2

        if numbers:
            text = markdown([{"metric": name, "value": value} for name, value in numbers.items()])
            self._text("summary", text, 0)
        ended = {"finished": "STATUS_SUCCESS", "failed": "STATUS_FAILURE"}.get(status, "STATUS_UNKNOWN")
        told = plugin_data_pb2.SessionEndInfo(status=api_pb2.Status.Value(ended), end_time_secs=time.time())
        kind = metadata.create_summary_metadata(plugin_data_pb2.HParamsPluginData(session_end_info=told))
        value = Summary.Value(tag=metadata.SESSION_END_INFO_TAG, metadata=kind, tensor=metadata.NULL_TENSOR)
        self._summary(Summary(value=[value]), 0)
        if self._file is not None:
            self._file.close()

    def _text(self, tag: str, text: str, step: int) -> None:
        """Write Markdown, as the text dashboard shows it."""
        from tensorboard.compat.proto.summary_pb2 import Summary
        from tensorboard.compat.proto.tensor_pb2 import TensorProto
        from tensorboard.compat.proto.tensor_shape_pb2 import TensorShapeProto
        from tensorboard.compat.proto.types_pb2 import DT_STRING
        from tensorboard.plugins.text.metadata import create_summary_metadata

        shape = TensorShapeProto(dim=[TensorShapeProto.Dim(size=1)])
        tensor = TensorProto(dtype=DT_STRING, string_val=[text.encode()], tensor_shape=shape)
        metadata = create_summary_metadata(tag, "")
        self._summary(Summary(value=[Summary.Value(tag=tag, metadata=metadata, tensor=tensor)]), step)

    def _summary(self, summary: Any, step: int, when: float | None = None) -> None:
        from tensorboard.compat.proto.event_pb2 import Event

        self._write(Event(wall_time=when or time.time(), step=step, summary=summary))

    def _write(self, event: Any) -> None:
        """Write an event, and pass it on to the operating system, so that a killed run loses none."""
        self._records.write(event.SerializeToString())
        self._records.flush()
