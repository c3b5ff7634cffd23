"""What two models say to the same conversations."""

from __future__ import annotations

import dataclasses
import gc
from collections.abc import Sequence
from typing import Any

from tunesmith_library_configuration.folders import is_run
from tunesmith_library_proving.figures import Limits
from tunesmith_library_proving.gate import Gate, Observation
from tunesmith_library_proving.readers import ModelReader, load_folder
from tunesmith_library_proving.rounding import BITS
from tunesmith_library_proving.texts import Texts
from tunesmith_library_publishing.inventory import read_json

from tunesmith_command_diff.findings import Part
from tunesmith_command_diff.subjects import Subject

# what rounding the weights once may do to what a model says; the limits of an export
_ROUNDED = {
    "float32": Limits(largest=1e-3),
    "float16": Limits(divergence=0.01),
    "bfloat16": Limits(divergence=0.05),
}


def outputs(a: Subject, b: Subject, texts: Texts, rounded: Sequence[str] = ()) -> Part:
    """Load one model after the other, and compare what they say to the same tokens.

    Args:
        rounded: the numbers that rounding to is all that their tensors differ by, the coarsest of them named; () where
            outputs are equal only to the last digit.

    Raises: TunesmithError when a model cannot be loaded, or one gives scores and the other text.
    """
    with a.handle.shared as shared:
        shared.offer("texts", texts)
        gate = Gate("diff", a.handle)
        before = gate.trained(_model(a))
        gc.collect()  # the first model is gone before the second comes
        model = _model(b)
        rows = model.get_input_embeddings().num_embeddings
        largest = max(max(text.ids) for text in texts.texts)
        if largest >= rows:
            return Part("outputs", None, f"B has {rows} tokens, and the conversations have number {largest}")
        after = gate.look(ModelReader(model), answers=False)
        lines = []
        widths = before.said[0].shape[-1], after.said[0].shape[-1]
        if before.writes and after.writes and widths[0] != widths[1]:
            lines = [f"A tells {widths[0]} tokens apart, B {widths[1]}; the first {min(widths)} are compared"]
            before, after = (_narrowed(each, min(widths)) for each in (before, after))
        found = gate.figures(before, after)
    exact = found.largest == 0 and not lines
    within = bool(rounded) and not lines and not _ROUNDED[min(rounded, key=BITS.__getitem__)].passed(found)
    origin = f"{len(texts.texts)} conversations, {found.positions} positions, {texts.origin}"
    facts = {**found.as_json(), "origin": texts.origin, "widths": widths}
    return Part(
        "outputs",
        exact or within,
        _summary(exact, within, rounded),
        [f"what they say: {found.described()}", origin, *lines],
        facts,
    )


def _summary(exact: bool, within: bool, rounded: Sequence[str]) -> str:
    if exact or not within:
        return "equal" if exact else "differ"
    return f"equal within rounding to {min(rounded, key=BITS.__getitem__)}"


def _narrowed(observed: Observation, width: int) -> Observation:
    return dataclasses.replace(observed, said=tuple(said[:, :width] for said in observed.said))


def _model(subject: Subject) -> Any:
    """A model in memory; a folder that no run made and that holds a classifier is loaded as one, with its head."""
    named = read_json(subject.folder / "config.json").get("architectures") or [""]
    is_classifier = str(named[0]).endswith("ForSequenceClassification") and not is_run(subject.folder)
    return load_folder(subject.folder).model if is_classifier else subject.handle.load()
