"""A split that stays: a record that is held out once is held out for good, however the file grows."""

import hashlib
import json
from itertools import islice
from typing import Annotated

from tunesmith import DataError, hookimpl, plugin
from tunesmith.ranges import between
from tunesmith.types import DatasetSplits, Requirement


@plugin
class Steady:
    """Train on a JSON Lines file, but for the records that a hash of what they say holds out."""

    train: str  # address of the file: a path, or SCHEME://…
    format: str = "openai"  # name of the format that turns its records into rows
    held_out: Annotated[float, between(0, 0.9)] = 0.0  # share of the records to evaluate on

    @hookimpl
    def requires(self):
        return [Requirement("format", self.format, "data.format"), Requirement("hub", self.train, "data.train")]

    @hookimpl
    def build_dataset(self, fetch, to_rows, encode):
        file, whole = fetch(self.train), hashlib.sha256(encode.fingerprint.encode())
        records = {False: [], True: []}
        for number, line in enumerate(file.read_text(encoding="utf-8").splitlines(), 1):
            try:
                record = json.loads(line)
            except json.JSONDecodeError as error:
                raise DataError(f"{file}, line {number} is not JSON: {error}") from error
            digest = hashlib.sha256(line.encode()).digest()
            records[int.from_bytes(digest[:8]) < self.held_out * 2**64].append(record)
            whole.update(digest)
        train, held = (encoded(to_rows(self.format, records[part], {}), encode) for part in (False, True))
        return DatasetSplits(train, {"held_out": held} if held else {}, whole.hexdigest())


def encoded(rows, encode):
    examples = []
    while some := list(islice(rows, 1000)):
        columns = encode(some)
        examples += [dict(zip(columns, values, strict=True)) for values in zip(*columns.values(), strict=True)]
    return examples
