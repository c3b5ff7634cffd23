"""The objects that hooks are called with, small and real: plans, sources, chats, batches, handles.

Nothing here needs another plugin: models are plain transformers models, the chat template is ChatML.
"""

from __future__ import annotations

import copy
import dataclasses
import functools
import json
from collections.abc import Iterable, Iterator, Mapping, Sequence
from pathlib import Path
from typing import Any

from tunesmith.catalog import Catalog, Entry
from tunesmith.kinds import KINDS
from tunesmith.planning import Plan, RunOptions, Selected
from tunesmith.types import Batch, LossOutput, ModelHandle, ModelSource, Row, model_inputs
from tunesmith_library_chat import ChatTemplate
from tunesmith_library_estimates.estimation import Estimate, Weight
from tunesmith_library_evaluating import EvaluationData

CHATML = ChatTemplate(
    name="chatml",
    jinja=(
        "{%- for message in messages -%}"
        "{{ '<|im_start|>' + message['role'] + '\\n' }}"
        "{%- if message['role'] == 'assistant' -%}"
        "{%- generation -%}{{ (message['content'] or '') + '<|im_end|>' }}{%- endgeneration -%}"
        "{%- else -%}{{ message['content'] + '<|im_end|>' }}{%- endif -%}"
        "{{ '\\n' }}"
        "{%- endfor -%}"
        "{%- if add_generation_prompt -%}{{ '<|im_start|>assistant\\n' }}{%- endif -%}"
    ),
    stop=("<|im_end|>",),
)

CHAT = (
    {"role": "user", "content": "Who counts the waves?"},
    {"role": "assistant", "content": "Nobody counts them twice."},
    {"role": "user", "content": "再见！\nSee you."},
    {"role": "assistant", "content": "Good bye, 朋友."},
)
"""Two turns; every content occurs once, one has a line break, some is Chinese."""

TOOLS = (
    {
        "type": "function",
        "function": {
            "name": "count_waves",
            "description": "Count the waves on a beach.",
            "parameters": {"type": "object", "properties": {"beach": {"type": "string"}}, "required": ["beach"]},
        },
    },
)


class ByteStage:
    """What `Encoder` calls: a text is its bytes, and what starts with `drop` is left out. Counts the rows."""

    def __init__(self) -> None:
        self.rows = 0

    def __call__(self, rows: Sequence[Row], processor: Any, template: ChatTemplate) -> dict[str, list[list[int]]]:
        self.rows += len(rows)
        kept = [list(row["text"].encode()) for row in rows if not row["text"].startswith("drop")]
        return {"input_ids": kept, "labels": kept}


def text_rows(name: str, records: Iterable[Mapping[str, Any]], columns: Mapping[str, str]) -> Iterator[Row]:
    """The `to_rows` of records that are texts, whatever their format."""
    return ({"text": record["text"]} for record in records)


@functools.cache
def _run_options() -> dict[str, Any]:
    """The options of a run that nobody has set."""
    return dataclasses.asdict(RunOptions())


class StubPlan(Plan):
    """A plan of instances at hand, for `check(plan)`: no configuration, no discovery.

    Args:
        plugins: kind -> name -> instance, or None for a plugin of which only the name matters:
            `{"adapter": {"lora": Lora(rank=4)}, "optimizer": {"galore": None}}`.
        command: `train`, `chat`, `export` or `show`.
        values: dotted keys that `plan.get` finds, over the fields of the instances: `{"precision": "bf16"}`.
        catalog: what `plan.installed` finds; nothing by default.
    """

    def __init__(
        self,
        plugins: Mapping[str, Mapping[str, Any]],
        command: str = "train",
        values: Mapping[str, Any] | None = None,
        catalog: Catalog | None = None,
    ) -> None:
        config = {key: copy.deepcopy(value) for key, value in _run_options().items()}
        selected = []
        for kind, instances in plugins.items():
            for name, instance in instances.items():
                entry = Entry(kind, name, f"tunesmith-{kind}-{name}", "0")
                selected.append(Selected(entry, object() if instance is None else instance))
                options = (
                    dataclasses.asdict(instance)
                    if dataclasses.is_dataclass(instance) and not isinstance(instance, type)
                    else {}
                )
                options = options or dict(getattr(instance, "__dict__", {}))
                if KINDS[kind].many:
                    config.setdefault(kind, {})[name] = options
                else:
                    config[kind] = {"name": name, **options}
        for key, value in (values or {}).items():
            *path, last = key.split(".")
            node = config
            for part in path:
                node = node.setdefault(part, {})
            node[last] = value
        super().__init__(command, RunOptions(), tuple(selected), config, catalog=catalog)


def source_of(folder: Path, *, precision: str = "fp32", seed: int = 0, training: bool = True) -> ModelSource:
    """The source of a model in a local folder."""
    return ModelSource(folder, str(folder), precision, seed, training)  # type: ignore[arg-type]


def load_plain(folder: Path, dtype: str = "float32", **options: Any) -> Any:
    """The model of a folder, by transformers alone, on the CPU, in evaluation mode."""
    import torch
    from transformers import AutoModelForCausalLM

    return AutoModelForCausalLM.from_pretrained(folder, dtype=getattr(torch, dtype), **options).eval()


def handle_of(folder: Path, tokenizer: Any, *, template: ChatTemplate = CHATML, load: Any = None) -> ModelHandle:
    """A handle of a whole model without adapter; `merge` gives the model back."""
    return ModelHandle(
        source=source_of(folder, training=False),
        adapter=None,
        processor=tokenizer,
        template=template,
        load=load or (lambda: load_plain(folder)),
        merge=lambda model: model,
    )


def examples(tokenizer: Any, chats: Iterable[Sequence[Mapping[str, Any]]] = (CHAT, CHAT[:2])) -> list[dict[str, Any]]:
    """Encoded chats of different lengths: `input_ids` and `labels`, where the second half of each chat is trained."""
    encoded = []
    for chat in chats:
        ids = tokenizer.encode(CHATML.render(chat).text, add_special_tokens=False)  # type: ignore[arg-type]
        trained = len(ids) // 2
        encoded.append({"input_ids": ids, "labels": [-100] * trained + ids[trained:]})
    return encoded


def estimate_of(model: Any, precision: Any = "fp32") -> Estimate:
    """The estimate of a model at hand, before anything is trained: every weight that it has."""
    modules, head = dict(model.named_modules()), model.get_output_embeddings()
    weights = []
    for name, weight in model.named_parameters():
        owner = modules[name.rpartition(".")[0]]
        matrix = name.endswith(".weight") and weight.ndim == 2
        if matrix and type(owner).__name__ == "Linear":
            kind = "head" if owner is head else "linear"
        elif owner is model.get_input_embeddings():
            kind = "embedding"
        elif "Norm" in type(owner).__name__:
            kind = "norm"
        else:
            kind = "experts" if weight.ndim == 3 else "other"
        weights.append(Weight(name, tuple(weight.shape), kind, 8 * weight.element_size()))  # type: ignore[arg-type]
    text = model.config.get_text_config()
    return Estimate(precision, tuple(weights), hidden_size=text.hidden_size, vocabulary=text.vocab_size)


def evaluation_data(tokenizer: Any, sets: Mapping[str, Sequence[Row]]) -> EvaluationData:
    """Evaluation sets; those of rows with `messages` can be encoded, by `examples`."""
    return EvaluationData(
        rows=lambda: sets,
        examples=lambda: {name: examples(tokenizer, [row["messages"] for row in rows]) for name, rows in sets.items()},
    )


def collate(examples: Sequence[Mapping[str, Any]], padding_free: bool = False) -> Batch:
    """Make a batch of `input_ids` and `labels`, padded to (B, T) or concatenated to (1, T)."""
    import torch

    ids = [torch.tensor(example["input_ids"]) for example in examples]
    labels = [torch.tensor(example["labels"]) for example in examples]
    num_items = float(sum(int((row[1:] != -100).sum()) for row in labels))
    if not padding_free:
        pad = torch.nn.utils.rnn.pad_sequence
        return {
            "input_ids": pad(ids, batch_first=True),
            "attention_mask": pad([torch.ones_like(row) for row in ids], batch_first=True),
            "labels": pad(labels, batch_first=True, padding_value=-100),
            "num_items": num_items,
        }
    lengths = [len(row) for row in ids]
    bounds = torch.tensor([0, *lengths]).cumsum(0).to(torch.int32)
    for row in labels:
        row[0] = -100
    return {
        "input_ids": torch.cat(ids)[None],
        "position_ids": torch.cat([torch.arange(length) for length in lengths])[None],
        "labels": torch.cat(labels)[None],
        "cu_seq_lens_q": bounds,
        "cu_seq_lens_k": bounds,
        "max_length_q": max(lengths),
        "max_length_k": max(lengths),
        "num_items": num_items,
    }


def compute_loss(model: Any, batch: Batch) -> LossOutput:
    """The plain cross entropy of the trained tokens, as a sum in float32."""
    import torch

    logits = model(**model_inputs(batch), use_cache=False).logits[:, :-1].float()
    labels = batch["labels"][:, 1:]
    loss = torch.nn.functional.cross_entropy(logits.flatten(0, 1), labels.flatten(), reduction="sum")
    return LossOutput(loss, batch["num_items"])


def mean_loss(model: Any, batch: Batch) -> Any:
    """The mean cross entropy of the trained tokens of a batch."""
    output = compute_loss(model, batch)
    return output.loss / output.num_items


def train(
    model: Any, batch: Batch, *, steps: int = 20, learning_rate: float = 1e-2, optimizer: Any = None
) -> list[float]:
    """Fit one batch; what requires gradients is trained, with AdamW unless an optimizer is given.

    Returns: the loss before each step, and after the last.
    """
    import torch

    if optimizer is None:
        optimizer = torch.optim.AdamW([weight for weight in model.parameters() if weight.requires_grad], learning_rate)
    losses = []
    for _ in range(steps):
        loss = mean_loss(model, batch)
        optimizer.zero_grad()
        loss.backward()
        optimizer.step()
        losses.append(loss.item())
    with torch.no_grad():
        return [*losses, mean_loss(model, batch).item()]


def logits_of(model: Any, tokenizer: Any) -> Any:
    """The logits (1, T, V) of a fixed text, float32, without gradients, in evaluation mode."""
    import torch

    ids = torch.tensor([tokenizer.encode("Whales sing, the tide turns. 你好", add_special_tokens=False)])
    model.eval()
    with torch.no_grad():
        return model(input_ids=ids.to(next(model.parameters()).device), use_cache=False).logits.float().cpu()


def records(run: Path) -> list[dict[str, Any]]:
    """What a run logged: the lines of its metrics.jsonl."""
    return [json.loads(line) for line in (run / "metrics.jsonl").read_text(encoding="utf-8").splitlines()]


def logged(run: Path, metric: str = "loss") -> list[float]:
    """The values of a metric that a run logged, in their order."""
    return [record[metric] for record in records(run) if metric in record]
