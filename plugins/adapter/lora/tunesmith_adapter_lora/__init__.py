"""LoRA: a frozen base and two thin trained matrices beside each chosen layer, y = W x + (alpha / r) B A x.

Hu et al. 2021, "LoRA: Low-Rank Adaptation of Large Language Models" (arXiv 2106.09685); computed by peft.
"""

from __future__ import annotations

from collections.abc import Generator
from pathlib import Path
from typing import TYPE_CHECKING, Annotated, Any, ClassVar, Literal

from tunesmith import TunesmithError, announce, hookimpl, plugin
from tunesmith.ranges import Range, at_least, path_like
from tunesmith.traits import AdapterTraits
from tunesmith.types import ModelSource, Problem, Requirement, TrainingJob
from tunesmith_library_adapting.following import Following, fetched
from tunesmith_library_chat import tokenizer_of
from tunesmith_library_estimates.estimation import Estimate
from tunesmith_library_weights.towers import Part

if TYPE_CHECKING:
    from tunesmith.planning import Plan

_CHANGES_BASE = ("pissa", "olora")  # these initialisations take their part out of the base weights
_FIXED_BY_ADAPTER = {"rank": "r", "alpha": "lora_alpha", "use_dora": "use_dora", "use_rslora": "use_rslora"}


@plugin
class Lora:
    """LoRA with its variants rsLoRA, DoRA, PiSSA, OLoRA, EVA and LoftQ."""

    traits: ClassVar[AdapterTraits] = AdapterTraits(beside=True, low_rank=True)
    SHORTHAND: ClassVar[str] = "path"
    known_as: ClassVar[dict[str, str]] = {
        **{"r": "rank", "lora_r": "rank", "lora_rank": "rank", "lora_alpha": "alpha", "lora_dropout": "dropout"},
        **{"lora_target": "target_modules", "lora_target_modules": "target_modules", "adapter_name_or_path": "path"},
        **{"adapter_path": "path", "peft_model": "path", "lora_path": "path", "lora_rslora": "use_rslora"},
        **{"additional_target": "modules_to_save", "init_lora_weights": "init"},
    }

    rank: Annotated[int, at_least(1, most=65_536)] = 8  # rank r of the trained matrices
    # scale: alpha / rank (rsLoRA: alpha / √rank); null is 2 × rank
    alpha: Annotated[int, at_least(1, most=1_000_000)] | None = None
    # probability with which an input of the trained matrices is dropped in training
    dropout: Annotated[float, Range(0, 1, high_excluded=True)] = 0.0
    # layers to adapt: names, parts of dotted names, or patterns with `*`; `all`: all linear layers and fused experts,
    # but neither the output head nor a router of experts
    target_modules: list[str] | str = "all"
    exclude_modules: list[str] = []  # layers to leave out again, written the same way
    # parts of a model that also sees or hears whose layers are adapted: language, vision, audio (its towers; `tower` is
    # each of them), projector; the others stay as they are
    towers: list[Part] = ["language"]
    # ranks of single layers instead of `rank`: {down_proj: 32}; names are written as in target_modules, the last counts
    rank_pattern: dict[str, Annotated[int, at_least(1, most=65_536)]] = {}
    # alphas of single layers, written the same way
    alpha_pattern: dict[str, Annotated[int, at_least(1, most=1_000_000)]] = {}
    # modules trained and saved whole beside the adapter, such as embed_tokens and lm_head
    modules_to_save: list[str] = []
    # tokens whose embeddings and output rows are trained beside the adapter; those that the tokenizer lacks are added
    train_tokens: list[str] = []
    bias: Literal["none", "all", "lora_only"] = "none"  # which biases of the base are trained too
    use_rslora: bool = False  # scale by alpha / √rank, stable for high ranks (arXiv 2312.03732)
    use_dora: bool = False  # train magnitude and direction apart (DoRA, arXiv 2402.09353); slower
    # start: true is A random, B zero; pissa (arXiv 2404.02948) and olora (arXiv 2406.01775) start from the base, eva
    # (arXiv 2410.07170) from the training data, loftq (arXiv 2310.08659) from what the quantizer rounded away
    init: bool | Literal["gaussian", "orthogonal", "pissa", "olora", "eva", "loftq"] = True
    # steps of the fast SVD of init=pissa, such as 16; 0 is the exact SVD, slow when large
    pissa_iterations: Annotated[int, at_least(0, most=1_000_000)] = 0
    # adapter to go on training, a folder or hub address; its rank, alpha and targets hold. Of several, all but the last
    # are merged into the base first
    path: Annotated[list[str] | str | None, path_like] = None
    restart: bool = False  # merge all adapters of path into the base and train a fresh one

    _start: Any = None  # what a fresh adapter took out of the base
    _rounding: Any = None  # what LoftQ put into the adapter
    _token_ids: list[int] = []  # of train_tokens

    @hookimpl
    def requires(self) -> list[Requirement]:
        return [Requirement("hub", address, "adapter.path") for address in self.following.paths]

    @hookimpl
    def check(self, plan: Plan) -> list[Problem]:
        from .checking import check

        return check(self, plan, _CHANGES_BASE)

    @hookimpl
    def estimate(self, estimate: Estimate) -> Estimate:
        from .estimating import estimate_lora

        return estimate_lora(self, estimate)

    @property
    def following(self) -> Following:
        """The adapters that it begins from."""
        return Following(self.path, self.restart)

    @hookimpl(wrapper=True)
    def load_processor(self, source: ModelSource) -> Generator[None, Any, Any]:
        """Add the tokens of adapters that are named, and those to be trained; a run's tokenizer has them already."""
        processor = yield
        # beside an adapter stands a run's own tokenizer, which has them
        if self.following.paths and not (source.path / "adapter_config.json").is_file():
            from tunesmith_library_adapting.vocabulary import add_tokens_of

            for address in self.following.paths:
                add_tokens_of(fetched(address, source), tokenizer_of(processor))
        if self.train_tokens:
            tokenizer = tokenizer_of(processor)
            known = tokenizer.get_vocab()  # added once more, a control token would become an ordinary one
            added = tokenizer.add_tokens([token for token in self.train_tokens if token not in known])
            self._token_ids = [int(tokenizer.convert_tokens_to_ids(token)) for token in self.train_tokens]
            announce("trained tokens", f"{len(self.train_tokens)}, {added} of them new", "adapter.train_tokens")
        return processor

    @hookimpl
    def apply_adapter(self, model: Any, trained: Path | None, source: ModelSource) -> Any:
        """Raises: TunesmithError when names fit no layer, or a folder holds no adapter or contradicts an option."""
        from tunesmith_library_adapting.adapters import read_config, ready_to_train

        model = self.following.merge_earlier(model, source, ("LORA", "LoRA"), self._load)
        followed = self.following.followed
        folder = trained or (fetched(followed, source) if followed else None)
        if folder is None:
            adapted = self._make(model, source)
        else:
            config = read_config(folder, "LORA", "LoRA")
            if trained is None:
                self._refuse_contradictions(config, folder)
            adapted = self._load(model, folder, source, follows=source.training)
        if not source.training:
            return adapted
        return ready_to_train(adapted, f"LoRA of rank {adapted.peft_config[adapted.active_adapter].r}", self.towers)

    @hookimpl
    def merge_adapter(self, model: Any) -> Any:
        from tunesmith_library_adapting.merging import merge

        return merge(model)

    @hookimpl
    def prepare(self, job: TrainingJob) -> None:
        """Start from the training data (EVA)."""
        if self.init == "eva" and not job.resume and not self.following.followed:
            from .starting import learn_from_activations

            learn_from_activations(job)

    @hookimpl(wrapper=True)
    def fit(self, job: TrainingJob) -> Generator[None, bool, bool]:
        """Give back at the end what the start took out of the base, so that the result fits the untouched one.

        What LoftQ put in is right over the quantised base, and is kept beside the adapter for where it is another.
        """
        from tunesmith_library_configuration.launchers import is_main_process

        finished = yield
        if finished and self._rounding and is_main_process():
            from .loftq import save_start

            save_start(job.output_dir, self._rounding)
        if finished and self._start and is_main_process():
            from tunesmith_library_publishing.adapters import names_for, published_key

            from .starting import give_back

            names = names_for(job.model)
            give_back(job.output_dir, {published_key(names, name): start for name, start in self._start.items()})
        return finished

    def _load(self, model: Any, folder: Path, source: ModelSource, follows: bool = False) -> Any:
        """Put saved matrices beside their layers; `follows` when they are trained on."""
        from tunesmith_library_adapting.adapters import load

        from .loftq import fit_to_base, read_start

        adapted, start = load(model, folder, source), read_start(folder)
        fit_to_base(adapted, start, folder, follows)
        if follows:
            self._rounding = start
        return adapted

    def _make(self, model: Any, source: ModelSource) -> Any:
        """Put fresh matrices beside the chosen layers, and on the chosen experts."""
        from peft import EvaConfig, LoraConfig
        from tunesmith_library_adapting.adapters import adapt
        from tunesmith_library_adapting.targets import keeps_tied, per_layer, token_layers

        from .starting import read_start

        layers, parameters = self._targets(model)
        targets = [*layers, *parameters]
        start: Any = f"pissa_niter_{self.pissa_iterations}" if self.pissa_iterations else self.init
        config = LoraConfig(
            r=self.rank,
            lora_alpha=2 * self.rank if self.alpha is None else self.alpha,
            lora_dropout=self.dropout,
            target_modules=layers,
            target_parameters=parameters or None,
            rank_pattern=per_layer("rank_pattern", self.rank_pattern, targets, model),
            alpha_pattern=per_layer("rank_pattern", self._following_alphas(), targets, model)
            | per_layer("alpha_pattern", self.alpha_pattern, targets, model),
            modules_to_save=list(self.modules_to_save) or None,
            trainable_token_indices=dict.fromkeys(token_layers(model), self._tokens()) if self.train_tokens else None,
            ensure_weight_tying=keeps_tied(model, self.modules_to_save),
            bias=self.bias,
            use_rslora=self.use_rslora,
            use_dora=self.use_dora,
            init_lora_weights=True if start == "loftq" else start,
            eva_config=EvaConfig(rho=1.0) if self.init == "eva" else None,
            task_type="CAUSAL_LM" if model.can_generate() else None,
        )
        adapted = adapt(model, config)
        if self.init in _CHANGES_BASE:
            self._start = read_start(adapted)
        if self.init == "loftq":
            from .loftq import start_from_rounding

            self._rounding = start_from_rounding(adapted, source.path)
        return adapted

    def _targets(self, model: Any) -> tuple[list[str], list[str]]:
        """Names of layers, and of the parameters of fused experts, as peft takes them."""
        from tunesmith_library_adapting.targets import (
            pick_parameters,
            pick_targets,
            refuse_unknown_modules,
            shortened_parameters,
        )

        from .experts import refuse_options

        refuse_unknown_modules("modules_to_save", self.modules_to_save, model)
        exclude = [*self.exclude_modules, *self.modules_to_save]
        parameters = pick_parameters(model, self.target_modules, exclude, self.towers)
        refuse_options(self, parameters)
        layers = pick_targets(model, self.target_modules, exclude, self.towers)
        return layers, shortened_parameters(model, parameters)

    def _following_alphas(self) -> dict[str, int]:
        """Where alpha follows the rank, it follows the ranks of single layers too."""
        return {} if self.alpha is not None else {name: 2 * rank for name, rank in self.rank_pattern.items()}

    def _tokens(self) -> list[int]:
        if not self._token_ids:
            raise TunesmithError("adapter.train_tokens needs the tokenizer, which was not loaded in this run")
        return self._token_ids

    def _refuse_contradictions(self, config: Any, folder: Path) -> None:
        """An option that was changed from its default must be what the adapter to go on with has."""
        fresh = type(self)()
        for name, theirs in _FIXED_BY_ADAPTER.items():
            asked, found = getattr(self, name), getattr(config, theirs)
            if asked != getattr(fresh, name) and asked != found:
                raise TunesmithError(
                    f"adapter.{name}={asked}: the adapter to go on with has {found} ({folder}).\n"
                    f"  leave adapter.{name} out, or leave adapter.path out for a fresh adapter"
                )
        announce("adapter", f"rank {config.r}, alpha {config.lora_alpha}", f"from {folder}")
