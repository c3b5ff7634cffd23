"""Writes a folder that Ollama makes a model of: a GGUF file and a Modelfile."""

from __future__ import annotations

from pathlib import Path
from typing import TYPE_CHECKING, Annotated, ClassVar, Literal

from tunesmith import hookimpl, plugin
from tunesmith.ranges import between, filled, path_like
from tunesmith.types import ModelHandle, Problem
from tunesmith_library_gguf.plans import file_problems
from tunesmith_library_publishing.pushing import push, refuse_unpushable
from tunesmith_library_weights.bases import quantizer_of_full, refuse_on_the_fly

from .limits import name_problems, parameter_problems, system_problems

if TYPE_CHECKING:
    from tunesmith.planning import Plan
    from tunesmith_library_estimates.estimation import Estimate

_LARGEST = 2**31 - 1  # whole numbers are of 32 bits there


@plugin
class Ollama:
    """Writes the model as a GGUF file with a Modelfile, and proves it in llama.cpp, and in Ollama where it runs."""

    guarded: ClassVar[tuple[str, ...]] = ("push_to", "private", "converter")

    # numbers of the weights: f16, bf16, q8_0, q6_k, q5_k_m, q4_k_m, q4_0, iq4_xs, q3_k_m, q2_k, …
    type: str = "q8_0"
    name: Annotated[str | None, filled] = None  # of the model in Ollama; null is the output folder's, in small letters
    system: Annotated[str | None, filled] = None  # message that Ollama puts before conversations that have none
    # of the Modelfile: num_ctx, temperature, top_p, repeat_penalty, …
    parameters: dict[str, Annotated[float, between(-_LARGEST, _LARGEST)]] = {}
    # gguf leaves the template in the file to Ollama, which runs it since 0.30; go writes one for older versions too
    template: Literal["gguf", "go"] = "gguf"
    renderer: Annotated[str | None, filled] = None  # one that Ollama has inside, for models whose prompts it writes
    parser: Annotated[str | None, filled] = None  # one that Ollama has inside, for answers with thoughts and calls
    imatrix: bool = False  # let rounding go by an importance matrix, measured on the run's own conversations
    pre_tokenizer: Annotated[str | None, filled] = None  # how text is cut, in llama.cpp's name; null finds it
    # folder of llama.cpp's source, whose converter writes architectures that are not known here
    converter: Annotated[str | None, path_like] = None
    # run the file in llama.cpp and compare it with what was trained, then ask Ollama, where it runs
    verify: bool = True
    push_to: Annotated[str | None, filled] = None  # repository of the Hugging Face hub to upload to: org/name
    private: bool = True  # whether nobody else may see what is uploaded

    _quantizer: str | None = None  # of the plan, where it cannot be merged into

    @hookimpl
    def check(self, plan: Plan) -> list[Problem]:
        key = "exporter.ollama"
        problems = file_problems(
            plan,
            "ollama",
            (self.type.lower(),),
            importance=self.imatrix,
            verify=self.verify,
            pre_tokenizer=self.pre_tokenizer,
            converter=self.converter,
        )
        problems += [*parameter_problems(key, self.parameters), *system_problems(key, self.system)]
        problems += name_problems(key, self.name, {"renderer": self.renderer, "parser": self.parser})
        if self.template == "go" and self.renderer:
            message = f"{key}.renderer={self.renderer} writes prompts, and {key}.template=go too."
            problems.append(Problem(f"{key}.template", message, "leave one of them out"))
        return problems

    @hookimpl
    def configured(self, plan: Plan) -> None:
        self._quantizer = quantizer_of_full(plan, "ollama")

    @hookimpl
    def estimate(self, estimate: Estimate, plan: Plan) -> Estimate:
        from tunesmith_library_gguf.estimating import estimate_files

        return estimate_files(estimate, plan, (self.type.lower(),), verify=self.verify)

    @hookimpl
    def export(self, handle: ModelHandle, output_dir: Path) -> Path:
        """Raises: TunesmithError when llama.cpp does not have such a model, or what was written is another."""
        from tunesmith_library_gguf.exporting import Wanted

        from .exporting import Asked, export_ollama

        refuse_unpushable(self.push_to, self.private)
        refuse_on_the_fly(handle.source.path, self._quantizer, "ollama")
        converter = Path(self.converter).expanduser() if self.converter else None
        kinds = (self.type.lower(),)
        wanted = Wanted(kinds, self.verify, self.pre_tokenizer, converter, self.imatrix, form="ollama")
        builtin = {"RENDERER": self.renderer, "PARSER": self.parser}
        given = {key: name for key, name in builtin.items() if name}
        asked = Asked(self.name, self.system, self.template == "go", given, self.parameters)
        export_ollama(handle, output_dir, wanted, asked)
        if self.push_to:
            push(output_dir, self.push_to, self.private)
        return output_dir
