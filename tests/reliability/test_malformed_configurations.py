"""Malformed configurations: each ends in an error with key and place, or in a plan that is whole. Nothing is loaded."""

import math
import os
from collections.abc import Iterator
from pathlib import Path

import pytest
from reliability.configurations import Generator, Outcome, furnish, outcome_of
from reliability.configurations import faults as faults_of
from tunesmith.catalog import Catalog
from tunesmith.kinds import KINDS
from tunesmith.options import Option, options

GENERATED, BATCH = 700, 70


@pytest.fixture(scope="module")
def catalog() -> Catalog:
    return Catalog.discover()


@pytest.fixture(scope="module")
def folder(tmp_path_factory: pytest.TempPathFactory) -> Iterator[Path]:
    """The recipes and what they name, and a folder with a model."""
    made, before = tmp_path_factory.mktemp("configurations"), Path.cwd()
    furnish(made)
    (made / "model").mkdir()
    (made / "model" / "config.json").write_text('{"model_type": "llama"}')
    (made / "empty").mkdir()
    (made / "my_loss.py").write_text("class Mine: ...\n\n\ndef ours(): ...\n")
    os.chdir(made)
    yield made
    os.chdir(before)


# Options that are wrong, by groups that fit into one configuration; each is to be named with what is beside it.
WRONG: dict[str, dict[str, str]] = {
    "trainer": {
        "trainer.learning_rate=-1e-4": "trainer.learning_rate cannot be -0.0001.",
        "trainer.adam_beta1=1.5": "trainer.adam_beta1 cannot be 1.5.",
        "trainer.adam_beta2=1": "trainer.adam_beta2 cannot be 1.",
        "trainer.adam_epsilon=0": "trainer.adam_epsilon cannot be 0.",
        "trainer.dataloader_num_workers=-1": "trainer.dataloader_num_workers cannot be -1.",
        f"trainer.per_device_train_batch_size={10**20}": f"trainer.per_device_train_batch_size cannot be {10**20}.",
        "trainer.weight_decay=-1": "trainer.weight_decay cannot be -1.",
        "trainer.max_grad_norm=-1": "trainer.max_grad_norm cannot be -1.",
        "trainer.max_steps=-5": "trainer.max_steps cannot be -5.",
        "trainer.num_train_epochs=0": "trainer.num_train_epochs cannot be 0.",
        "trainer.warmup_ratio=1": "trainer.warmup_ratio cannot be 1.",
        "trainer.save_steps=0": "trainer.save_steps cannot be 0.",
        "trainer.lr_scheduler_type=cosin": "did you mean cosine?",
        "trainer.lernig_rate=1": "did you mean learning_rate?",
        "trainer.optim=": "trainer.optim cannot be empty.",
        "trainer.logging_steps=1.5": "trainer.logging_steps cannot be 1.5.",
        "trainer.eval_steps=many": "trainer.eval_steps cannot be 'many'.",
        "trainer.use_cpu=perhaps": "trainer.use_cpu cannot be 'perhaps'.",
        "trainer.lr_scheduler_kwargs={x: .nan}": "trainer.lr_scheduler_kwargs.x cannot be nan.",
        "trainer.fsdp_config=[1]": "trainer.fsdp_config cannot be [1].",
    },
    "not finite": {
        "trainer.learning_rate=.inf": "trainer.learning_rate cannot be inf.",
        "trainer.weight_decay=nan": "trainer.weight_decay cannot be nan.",
        "trainer.max_grad_norm=1e999": "trainer.max_grad_norm cannot be inf.",
        "trainer.adam_epsilon='.nan'": "trainer.adam_epsilon cannot be nan.",
        "trainer.warmup_ratio=-.inf": "trainer.warmup_ratio cannot be -inf.",
        "trainer.num_train_epochs=Infinity": "trainer.num_train_epochs cannot be inf.",
        "adapter.dropout=.nan": "adapter.dropout cannot be nan.",
        "data.val_size=inf": "data.val_size cannot be inf.",
    },
    "by way of others": {
        "trainer.learning_rate=${trainer.weight_decay}": "trainer.learning_rate cannot be 0.0.",
        "adapter.rank=${trainer.max_steps}": "adapter.rank cannot be -1.",
        "stage.max_length=${nowhere}": "stage.max_length cannot be resolved",
        "template.default_system=${oc.env:NO_SUCH_VARIABLE_HERE}": "template.default_system cannot be resolved",
    },
    "sizes": {
        f"adapter.rank={10**30}": f"adapter.rank cannot be {10**30}.",
        f"adapter.alpha={10**30}": f"adapter.alpha cannot be {10**30}.",
        "adapter.rank_pattern={q_proj: 0}": "adapter.rank_pattern.q_proj cannot be 0.",
        f"stage.max_length={2**63}": f"stage.max_length cannot be {2**63}.",
        "stage.loss_chunk_size=-1": "stage.loss_chunk_size cannot be -1.",
        "data.batch_size=0": "data.batch_size cannot be 0.",
        "data.num_proc=0": "data.num_proc cannot be 0.",
        "data.shuffle_seed=-1": "data.shuffle_seed cannot be -1.",
        "data.max_samples=0": "data.max_samples cannot be 0.",
        "seed=-1": "seed cannot be -1.",
        "precision=fp8": "possible: auto, bf16, fp16, fp32",
        "resume=perhaps": "resume cannot be 'perhaps'.",
        "tracker.plot.smoothing=1": "tracker.plot.smoothing cannot be 1.",
        f"quantizer.group_size={'9' * 5000}": "quantizer.group_size cannot be",
        "quantizer.bits=5": "quantizer.bits cannot be 5.",
    },
    "texts and paths": {
        "output_dir=": "output_dir cannot be empty.",
        "default_hub=nowhere": "hub=nowhere",
        'model.revision="\\0"': "model.revision holds a character that is none",
        "adapter.path='  '": "adapter.path cannot be empty.",
        f"data.registry={'x' * 300}": "data.registry is too long for a path: 300 characters.",
        f"data.cache_dir={'x/' * 3000}": "data.cache_dir is too long for a path: 6,000 characters.",
        "template.default_system={a: \udcff": "template.default_system holds a character that is none",
        "trainer.deepspeed=~nobody_of_this_name/x": "begins with the home folder of nobody here: ~nobody_of_this_name",
        "tracker.jsonl.filename=": "tracker.jsonl.filename cannot be empty.",
        "tracker.plot.filename=null/\udcff": "tracker.plot.filename holds a character that is none",
    },
    "plugins": {
        "adapter=loar": "did you mean lora?",
        "stage=dfo": "no installed plugin provides stage=dfo.",
        "loss=my_loss.py": "possible: my_loss.py:Mine, my_loss.py:ours",
        "optimizer=my_loss.py:Mien": "the file has no Mien.",
        "quantizer=nowhere.py:Mine": "there is no file nowhere.py.",
        "tracker=[acme:console]": "console is offered by tunesmith-tracker-console",
        "parallel.processes=2": "parallel needs a name.",
        "reward=[nonsense]": "no installed plugin provides reward=nonsense.",
        "patch=[ligr]": "did you mean liger?",
    },
    "names alone": {
        "learning_rate=1e-4": "write trainer.learning_rate=1e-4",
        "rank=8": "write adapter.rank=8",
        "num_train_epochs=3": "write trainer.num_train_epochs=3",
        "max_length=512": "write stage.max_length=512",
        "val_size=0.1": "write data.val_size=0.1",
        "trackr=[plot]": "did you mean tracker?",
        "defaults=[sft_lora.yaml]": "defaults stands in a file",
    },
    "lists": {
        "data.train=a.json,b.json": "write data.train=[a.json,b.json]",
        "adapter.exclude_modules=[a": "adapter.exclude_modules cannot be '[a'.",
        "adapter.rank+=[1]": "adapter.rank is no list",
        "stage.max_length+=1": "stage.max_length is no list",
        "trainer.optim_target_modules=q,v": "write trainer.optim_target_modules=[q,v]",
        "tracker.console.metrics={a: b}": "tracker.console.metrics cannot be {'a': 'b'}.",
    },
    "data": {
        "data.train=[{pth: problems.json}]": "did you mean path?",
        "data.eval=[problms.json]": "did you mean problems.json?",
        "data.mix=both": "data.mix cannot be 'both'.",
        "data.val_size=1.5": "data.val_size cannot be 1.5.",
    },
    "entries": {
        "data.train=[{path: problems.json, weight: 0}, 3, {path: '', format: ''}]": "data.train[0].weight cannot be 0.",
        "data.eval=[{path: pairs.json, max_samples: -1}]": "data.eval[0].max_samples cannot be -1.",
        "data.streaming=5x": "data.streaming cannot be '5x'.",
    },
    "models": {
        "model.path=empty": "empty holds no config.json, so no model.",
        "model.attention=flash": "model.attention cannot be 'flash'.",
        "model.path2=x": "model=transformers has no option path2.",
    },
    "hubs": {"model.path=nohub://x/y": "no installed plugin provides hub=nohub."},
}


@pytest.mark.parametrize("group", WRONG)
def test_all_that_is_wrong_is_told_at_once(group: str, catalog: Catalog, folder: Path) -> None:
    given = ["model.path=model", "data.train=[problems.json]", "template=chatml", "quantizer=hqq"]
    own = {word.partition("=")[0] for word in WRONG[group]}
    words = [
        word for word in given if word.partition("=")[0] not in own and not (group == "plugins" and "quant" in word)
    ]
    outcome = outcome_of(None, [*words, *WRONG[group]], catalog)
    assert not outcome.crash and outcome.plan is not None, outcome
    missing = [expected for expected in WRONG[group].values() if expected not in outcome.said]
    assert not missing, f"{missing} not in:\n{outcome.said}"
    assert not list(faults_of(outcome, ("command line", str(folder))))


# Files that are refused before there is a plan: what they say, with the line.
FILES: dict[str, tuple[str, str]] = {
    "laughs": (
        "a: &a [x]\nb: &b [*a,*a,*a,*a,*a,*a,*a,*a,*a]\n"
        + "".join(f"{chr(99 + n)}: &{chr(99 + n)} [{','.join(['*' + chr(98 + n)] * 9)}]\n" for n in range(9)),
        "stands for more than 100,000 values",
    ),
    "deep": ("a: " + "[" * 50_000, ":1: this is not YAML: it is nested more than 100 levels deep"),
    "deep mappings": ("a: " + "{b: " * 5_000, "nested more than 100 levels deep"),
    "itself": ("a: &a [*a]", "an alias (*name) stands inside its own anchor (&name)"),
    "twice": ("seed: 1\nadapter: lora\nseed: 2\n", ":3: seed is written twice, first in line 1."),
    "list": ("- a\n", ":1: a configuration is key: value pairs, this is a list."),
    "text": ("adapter", ":1: a configuration is key: value pairs, this is a str."),
    "tab": ("adapter:\n\trank: 8\n", ":2: this is not YAML"),
    "colon": ("template:\n  default_system: Say: yes\n", 'put it in quotes: default_system: "Say: yes"'),
    "at": ("model:\n  path: @me\n", ":2: this is not YAML: found character '@' that cannot start any token."),
    "bytes": ("adapter: \x07\n", ":1: this is not YAML"),
    "tag": (
        "seed: !!python/object/apply:os.system [ls]\n",
        ":1: seed is a python/object/apply:os.system, not plain data.",
    ),
    "integer": ("seed: !!int many\n", ":1: seed is no int: 'many'."),
    "escape": ('adapter: "\\UFFFFFFFF"\n', "is no character"),
    "key": ("[a, b]: 1\n", ":1: a key is a text"),
    "two": ("a: 1\n---\nb: 2\n", ":2: this is not YAML"),
    "merge": ("adapter:\n  <<: 3\n", ":2: this is not YAML"),
    "inherits itself": ("defaults: [inherits_itself.yaml]\n", "inherits itself: inherits_itself.yaml"),
    "inherits nothing": ("defaults: [sft_lorra.yaml]\n", "did you mean sft_lora.yaml?"),
    "inherits a text": ("defaults: sft_lora.yaml\n", ":1: defaults is a list of files, like [base.yaml]."),
    "trackers": ("tracker: 3\n", ":1"),
    "tracker": ("tracker:\n  plot: 3\n", ":2"),
    "version": ("tunesmith: [1]\n", "run.yaml"),
}


@pytest.mark.parametrize("name", FILES)
def test_a_file_that_is_none_says_where(name: str, catalog: Catalog, folder: Path) -> None:
    text, expected = FILES[name]
    file = folder / ("run.yaml" if name == "version" else f"{name.replace(' ', '_')}.yaml")
    file.write_text(text)
    outcome = outcome_of(file, None, catalog)
    file.unlink()
    assert not outcome.crash and expected in outcome.said, outcome
    assert not list(faults_of(outcome, (str(folder), file.name)))


TYPED = ["12345e7", "0123456", "1_000", "0x10", "0o17", "1:30", "true", "1.50", "2026-01-31", ".inf"]


def test_texts_are_what_was_typed_on_the_command_line_and_in_files(catalog: Catalog, folder: Path) -> None:
    texts = [*TYPED, "a # b", "[a-e]", "a: b", "*x*"]
    words = [f"data.train=[{', '.join(['{path: problems.json}'] * len(texts))}]", "model.path=model", "template=chatml"]
    words.append("stage=dpo")  # which reads what the file has
    words += [f"data.train[{number}].name={text}" for number, text in enumerate(texts)]
    outcome = outcome_of(None, [*words, "model.revision=12345e7", "output_dir=0123"], catalog)
    assert not outcome.problems and outcome.plan is not None, outcome
    assert [entry["name"] for entry in outcome.plan.get("data.train")] == texts
    assert (outcome.plan.get("model.revision"), outcome.plan.run.output_dir) == ("12345e7", "0123")
    lines = "".join(f"- path: problems.json\n      name: {text}\n    " for text in TYPED)
    file = folder / "typed.yaml"
    file.write_text(f"model: {{path: model, revision: 0x10}}\ndata:\n  train:\n    {lines}\n")
    outcome = outcome_of(file, ["template=chatml", "stage=dpo"], catalog)
    assert not outcome.problems and outcome.plan is not None, outcome
    assert [entry["name"] for entry in outcome.plan.get("data.train")] == TYPED
    assert outcome.plan.get("model.revision") == "0x10"


def outside(option: Option) -> tuple[str, str]:
    """The numbers just below and just above an option's range, in the form of its type, as they are typed."""
    assert option.range is not None and option.range.low is not None and option.range.high is not None
    whole = "int" in option.type_name.partition(",")[0]
    step = (lambda end, to: end + (1 if to > 0 else -1)) if whole else (lambda end, to: math.nextafter(end, to))
    low, high = option.range.low, option.range.high
    ends = (
        low if option.range.low_excluded else step(low, -math.inf),
        high if option.range.high_excluded else step(high, math.inf),
    )
    form = {"dict": "{{x: {}}}", "list": "[{}]"}.get(option.type_name.partition("[")[0], "{}")
    return form.format(repr(ends[0])), form.format(repr(ends[1]))


@pytest.mark.parametrize(
    "more",
    [
        ["quantizer=hqq", "patch=[neftune, rope_scaling]", "optimizer=galore"],
        ["stage=grpo", "reward=[code, numeric]", "quantizer=bitsandbytes", "optimizer=muon"],
        ["stage=ppo", "adapter=oft", "loss=eaft", "parallel=ddp"],
        ["stage=dpo", "quantizer=gptq", "optimizer=badam", "reward=[http]", "reward.http.url=http://x"],
    ],
)
def test_the_ends_of_every_range_are_held(more: list[str], catalog: Catalog, folder: Path) -> None:
    """What is just outside of a range is refused by its name, for every number of what is selected."""
    given = ["model.path=model", "data.train=[problems.json]", "template=chatml", *more]
    plan = outcome_of(None, given, catalog).plan
    assert plan is not None
    ranged = {
        f"{item.entry.address if KINDS[item.entry.kind].many else item.entry.kind}.{option.name}": option
        for item in plan.selected
        if item.instance is not None
        for option in options(type(item.instance))
        if option.range is not None
    }
    assert len(ranged) > 40
    for end in (0, 1):
        outcome = outcome_of(
            None, [*given, *(f"{key}={outside(option)[end]}" for key, option in ranged.items())], catalog
        )
        assert not outcome.crash and outcome.plan is not None, outcome
        told = {str(problem.key) for problem in outcome.problems if " cannot be " in problem.message}
        missing = [key for key in ranged if not any(place.startswith(key) for place in told)]
        assert not missing, f"just {('below', 'above')[end]}: {missing}"


@pytest.mark.slow
@pytest.mark.parametrize("start", range(0, GENERATED, BATCH))
def test_generated_configurations(start: int, catalog: Catalog, folder: Path) -> None:
    """Recipes with values, keys, lines and bytes that do not belong there, the same 700 every time."""
    told: list[str] = []
    for seed in range(start, start + BATCH):
        file, words = Generator(seed, catalog, folder).make()
        outcome: Outcome = outcome_of(file, words, catalog)
        places = (str(folder), "command line", *(word.partition("=")[0].removesuffix("+") for word in words))
        told += [f"{seed}: {words} {fault}" for fault in faults_of(outcome, places)]
    assert not told, "\n\n".join(told)
