"""Writes the model for onnxruntime: a folder that onnxruntime-genai chats with, or the graph of a classifier."""

from __future__ import annotations

from pathlib import Path
from typing import TYPE_CHECKING, Annotated, ClassVar, Literal

from tunesmith import hookimpl, plugin
from tunesmith.ranges import between, filled
from tunesmith.types import ModelHandle, Problem
from tunesmith_library_publishing.pushing import push, push_problems, refuse_unpushable
from tunesmith_library_weights.plans import unmergeable

from .knowing import missing_packages, unknown_architecture

if TYPE_CHECKING:
    from tunesmith.planning import Plan
    from tunesmith_library_estimates.estimation import Estimate


@plugin
class Onnx:
    """Merges, lets onnxruntime-genai's own model builder write the graph, and proves it in onnxruntime."""

    guarded: ClassVar[tuple[str, ...]] = ("push_to", "private")

    # numbers of the weights; int8 and int4 are whole numbers with a scale for each block of a row
    precision: Literal["fp32", "fp16", "int8", "int4"] = "fp32"
    # where it will be served, which decides on the operators; auto is cpu, and cuda for fp16
    device: Literal["auto", "cpu", "cuda", "dml", "webgpu"] = "auto"
    block_size: Literal[16, 32, 64, 128, 256] = 32  # weights that share one scale, for int8 and int4
    # compare what onnxruntime makes of it with what was trained: logits on the run's conversations, the answer to one
    # of them, text and tokens
    verify: bool = True
    # largest difference of a logit that fp32 may make
    tolerance: Annotated[float, between(0, 1_000_000)] = 1e-3
    push_to: Annotated[str | None, filled] = None  # repository of the Hugging Face hub to upload to: org/name
    private: bool = True  # whether nobody else may see what is uploaded

    @hookimpl
    def check(self, plan: Plan) -> list[Problem]:
        message = "exporter=onnx cannot merge into the weights that quantizer={quantizer} rounds to few bits."
        advice = "quantizer=null merges into the base's 16-bit weights"
        problems = [*unmergeable(plan, "quantizer", message, advice), *push_problems(plan, "onnx")]
        if self.precision == "fp16" and self.device == "cpu":
            message = "exporter.onnx.precision=fp16 is for a GPU; onnxruntime has no attention in fp16 on a CPU."
            problems.append(Problem("exporter.onnx.precision", message, "exporter.onnx.device=cuda, or precision=int8"))
        problems += missing_packages() if plan.command == "export" else []
        return [*problems, *unknown_architecture(plan)]

    @hookimpl
    def estimate(self, estimate: Estimate, plan: Plan) -> Estimate:
        from .estimating import estimate_graph

        return estimate_graph(estimate, plan, self.precision, self.block_size)

    @hookimpl
    def export(self, handle: ModelHandle, output_dir: Path) -> Path:
        """Raises: TunesmithError when the program or its knowledge is missing, or what it makes is another model."""
        from .building import Wanted
        from .writing import export_onnx

        refuse_unpushable(self.push_to, self.private)
        device = self.device if self.device != "auto" else "cuda" if self.precision == "fp16" else "cpu"
        wanted = Wanted(self.precision, device, self.block_size, self.verify, self.tolerance)
        export_onnx(handle, output_dir, wanted)
        if self.push_to:
            push(output_dir, self.push_to, self.private)
        return output_dir
