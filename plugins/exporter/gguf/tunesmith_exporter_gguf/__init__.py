"""Writes the model as GGUF files, which llama.cpp, Ollama, LM Studio and others run, or its adapter as one."""

from __future__ import annotations

from dataclasses import replace
from pathlib import Path
from typing import TYPE_CHECKING, Annotated, ClassVar

from tunesmith import hookimpl, plugin
from tunesmith.ranges import filled, path_like
from tunesmith.types import ModelHandle, Problem
from tunesmith_library_gguf.plans import file_problems
from tunesmith_library_gguf.towers import projector_problems
from tunesmith_library_publishing.pushing import push, refuse_unpushable
from tunesmith_library_weights.bases import quantizer_of_full, refuse_on_the_fly

if TYPE_CHECKING:
    from tunesmith.planning import Plan
    from tunesmith_library_estimates.estimation import Estimate


@plugin
class Gguf:
    """Writes every tensor, the vocabulary and the chat template, rounds, and proves each file in llama.cpp."""

    guarded: ClassVar[tuple[str, ...]] = ("push_to", "private", "converter")

    # numbers of the weights: f32, f16, bf16, q8_0, q6_k, q5_k_m, q4_k_m, q4_0, iq4_xs, q3_k_m, q2_k, …; of several,
    # each has a file; null is q8_0, and of an adapter f16
    type: list[str] | str | None = None
    adapter: bool = False  # write the trained LoRA adapter alone, as f32, f16 or bf16, to be put over the base's file
    mmproj: bool = False  # write what reads pictures too, in f16, in a file of its own; takes `converter`
    imatrix: bool = False  # let rounding go by an importance matrix, measured on the run's own conversations
    # how text is cut before bytes are merged, in llama.cpp's name (llama-bpe, qwen2, gpt-2, …); null finds it
    pre_tokenizer: Annotated[str | None, filled] = None
    # folder of llama.cpp's source, whose converter writes architectures that are not known here, and projectors
    converter: Annotated[str | None, path_like] = None
    # run what was written in llama.cpp, and compare it with what was trained, and with the base in the same numbers:
    # logits on the run's conversations, every tensor, text and tokens, what ends an answer
    verify: bool = True
    push_to: Annotated[str | None, filled] = None  # repository of the Hugging Face hub to upload to: org/name
    private: bool = True  # whether nobody else may see what is uploaded

    _quantizer: str | None = None  # of the plan, where it cannot be merged into

    @hookimpl
    def check(self, plan: Plan) -> list[Problem]:
        problems = file_problems(
            plan,
            "gguf",
            self._kinds(),
            importance=self.imatrix,
            verify=self.verify,
            pre_tokenizer=self.pre_tokenizer,
            converter=self.converter,
            adapter=self.adapter,
        )
        if self.mmproj:
            problems += projector_problems(plan, "exporter.gguf", self.converter, self.adapter)
        return problems

    @hookimpl
    def configured(self, plan: Plan) -> None:
        self._quantizer = quantizer_of_full(plan, "gguf")

    @hookimpl
    def estimate(self, estimate: Estimate, plan: Plan) -> Estimate:
        from tunesmith_library_gguf.estimating import estimate_adapter, estimate_files

        if self.adapter:
            return estimate_adapter(estimate, self._kinds())
        return estimate_files(estimate, plan, self._kinds(), verify=self.verify)

    @hookimpl
    def export(self, handle: ModelHandle, output_dir: Path) -> Path:
        """Raises: TunesmithError when llama.cpp does not have such a model, or computes another with a file."""
        from tunesmith_library_gguf.exporting import Wanted, export_gguf

        refuse_unpushable(self.push_to, self.private)
        refuse_on_the_fly(handle.source.path, self._quantizer, "gguf")
        converter = Path(self.converter).expanduser() if self.converter else None
        wanted = Wanted(self._kinds(), self.verify, self.pre_tokenizer, converter, self.imatrix, self.adapter)
        export_gguf(handle, output_dir, replace(wanted, projector=self.mmproj))
        if self.push_to:
            push(output_dir, self.push_to, self.private)
        return output_dir

    def _kinds(self) -> tuple[str, ...]:
        given = ("f16" if self.adapter else "q8_0") if self.type is None else self.type
        given = [given] if isinstance(given, str) else given
        return tuple(dict.fromkeys(kind.lower() for kind in given))
