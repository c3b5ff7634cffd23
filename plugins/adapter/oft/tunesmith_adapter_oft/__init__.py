"""OFT: a frozen base whose layers' inputs are rotated by trained orthogonal matrices, y = W R x.

R is block-diagonal; each block is the Cayley transform of a skew-symmetric Q, R = (I - Q)(I + Q)^-1, or its series
I + 2 Σ (±Q)^k cut off. Qiu et al. 2023, "Controlling Text-to-Image Diffusion by Orthogonal Finetuning"
(arXiv 2306.07280, section 3.3); Qiu et al. 2025, "Orthogonal Finetuning Made Scalable" (arXiv 2506.19847); by peft.
"""

from __future__ import annotations

from pathlib import Path
from typing import TYPE_CHECKING, Annotated, Any, ClassVar, Literal

from tunesmith import TunesmithError, hookimpl, plugin
from tunesmith.ranges import above, at_least, path_like
from tunesmith.traits import AdapterTraits
from tunesmith.types import ModelSource, Problem, Requirement
from tunesmith_library_adapting.following import Following, fetched
from tunesmith_library_estimates.estimation import Estimate
from tunesmith_library_weights.towers import Part, towers_problems

if TYPE_CHECKING:
    from tunesmith.planning import Plan

_BLOCK_SIZE = 32


@plugin
class Oft:
    """Orthogonal fine-tuning: trains rotations of the inputs of frozen layers."""

    traits: ClassVar[AdapterTraits] = AdapterTraits(beside=True)
    SHORTHAND: ClassVar[str] = "path"
    known_as: ClassVar[dict[str, str]] = {"adapter_name_or_path": "path", "adapter_path": "path", "oft_rank": "rank"}

    # inputs that one block rotates; null is 32, or what `rank` leaves
    block_size: Annotated[int, at_least(2, most=65_536)] | None = None
    # number of blocks of each layer, instead of block_size
    rank: Annotated[int, at_least(1, most=65_536)] | None = None
    cayley_neumann: bool = True  # a series instead of a solved equation: faster, orthogonal only while R is near I
    cayley_neumann_terms: Annotated[int, at_least(2, most=65_536)] = 5  # terms of the series
    constrained: bool = False  # keep R near I (COFT)
    eps: Annotated[float, above(0, most=1_000)] = 6e-5  # how near: the largest norm of Q, of a layer with one block
    block_share: bool = False  # one block per layer, used for all its inputs
    # layers to adapt: names, parts of dotted names, or patterns with `*`; `all`: all linear layers but the output head
    target_modules: list[str] | str = "all"
    exclude_modules: list[str] = []  # layers to leave out again, written the same way
    # parts of a model that also sees or hears whose layers are adapted: language, vision, audio (its towers; `tower` is
    # each of them), projector; the others stay as they are
    towers: list[Part] = ["language"]
    # modules trained and saved whole beside the adapter, such as embed_tokens and lm_head
    modules_to_save: list[str] = []
    bias: Literal["none", "all", "oft_only"] = "none"  # which biases of the base are trained too
    # adapter to go on training, a folder or hub address; its blocks and targets hold. Of several, all but the last are
    # merged into the base first
    path: Annotated[list[str] | str | None, path_like] = None
    restart: bool = False  # merge all adapters of path into the base and train a fresh one

    @hookimpl
    def requires(self) -> list[Requirement]:
        return [Requirement("hub", address, "adapter.path") for address in self.following.paths]

    @property
    def following(self) -> Following:
        """The adapters that it begins from."""
        return Following(self.path, self.restart)

    @hookimpl
    def check(self, plan: Plan) -> list[Problem]:
        found = [*towers_problems(self.towers), *self.following.problems(plan)]
        if self.block_size is None or self.rank is None:
            return found
        message = "adapter.block_size and adapter.rank say the same: their product is a layer's number of inputs."
        return [*found, Problem("adapter.rank", message, "leave one of them out")]

    @hookimpl
    def estimate(self, estimate: Estimate) -> Estimate:
        from .estimating import estimate_oft

        return estimate_oft(self, estimate)

    @hookimpl
    def apply_adapter(self, model: Any, trained: Path | None, source: ModelSource) -> Any:
        """Raises: TunesmithError when blocks do not divide a layer, names fit none, or a folder holds no OFT or one
        that contradicts an option."""
        from tunesmith_library_adapting.adapters import load, read_config, ready_to_train

        model = self.following.merge_earlier(model, source, ("OFT", "OFT"), load)
        followed = self.following.followed
        folder = trained or (fetched(followed, source) if followed else None)
        if folder is None:
            adapted = self._make(model)
        else:
            config = read_config(folder, "OFT", "OFT")
            if trained is None:
                self._refuse_contradictions(config, folder)
            adapted = load(model, folder, source)
        if not source.training:
            return adapted
        made = adapted.peft_config[adapted.active_adapter]
        what = f"OFT with {made.r} blocks" if made.r else f"OFT in blocks of {made.oft_block_size}"
        return ready_to_train(adapted, what, self.towers)

    @hookimpl
    def merge_adapter(self, model: Any) -> Any:
        from tunesmith_library_adapting.merging import merge

        return merge(model)

    def _refuse_contradictions(self, config: Any, folder: Path) -> None:
        """An option that was given must be what the adapter to go on with has."""
        for name, asked, found in (
            ("rank", self.rank, config.r),
            ("block_size", self.block_size, config.oft_block_size),
        ):
            if asked is not None and asked != found:
                raise TunesmithError(
                    f"adapter.{name}={asked}: the adapter to go on with has {found or 'none'} ({folder}).\n"
                    f"  leave adapter.{name} out, or leave adapter.path out for a fresh adapter"
                )

    def _make(self, model: Any) -> Any:
        """Put fresh rotations, which are the identity, before the chosen layers."""
        from peft import OFTConfig
        from tunesmith_library_adapting.adapters import adapt
        from tunesmith_library_adapting.targets import pick_targets, refuse_experts, refuse_unknown_modules, targeted

        refuse_unknown_modules("modules_to_save", self.modules_to_save, model)
        exclude = [*self.exclude_modules, *self.modules_to_save]
        refuse_experts(model, self.target_modules, exclude, "oft")
        targets = pick_targets(model, self.target_modules, exclude, self.towers)
        self._refuse_remainders(model, targeted(model, targets))
        config = OFTConfig(
            r=self.rank or 0,
            oft_block_size=0 if self.rank else self.block_size or _BLOCK_SIZE,
            use_cayley_neumann=self.cayley_neumann,
            num_cayley_neumann_terms=self.cayley_neumann_terms,
            coft=self.constrained,
            eps=self.eps,
            block_share=self.block_share,
            target_modules=targets,
            modules_to_save=list(self.modules_to_save) or None,
            bias=self.bias,
            task_type="CAUSAL_LM" if model.can_generate() else None,
        )
        return adapt(model, config)

    def _refuse_remainders(self, model: Any, layers: list[str]) -> None:
        """Blocks must fill a layer's inputs (of an embedding its outputs); peft would take another size."""
        asked, key = (self.rank, "rank") if self.rank else (self.block_size or _BLOCK_SIZE, "block_size")
        for name in layers:
            layer = model.get_submodule(name)
            size = getattr(layer, "in_features", None) or getattr(layer, "embedding_dim", None)
            if size and size % asked:
                fitting = [number for number in range(1, size + 1) if size % number == 0]
                near = sorted(sorted(fitting, key=lambda number: abs(number - asked))[:4])
                raise TunesmithError(
                    f"adapter.{key}={asked}: {name} has {size} inputs, which it does not divide.\n"
                    f"  possible near it: {', '.join(map(str, near))}; or leave the layer out with exclude_modules"
                )
