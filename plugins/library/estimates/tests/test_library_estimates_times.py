"""How long a run takes: the roofline, what runs have told, and what is written."""

import json
import random
from collections import Counter
from dataclasses import replace

import pytest
from tunesmith_library_estimates import learned
from tunesmith_library_estimates.estimation import Estimate, Memory, Weight
from tunesmith_library_estimates.machines import Machine, machine_named
from tunesmith_library_estimates.roofline import Terms, of_work, tokens_of_a_step, training_step
from tunesmith_library_estimates.times import checkpoint_size, result_size, time_of, with_files
from tunesmith_library_estimates.working import Extent, Pauses, Work, spread_of

OWN = Machine("this machine", "cpu", flops={"fp32": 1e11}, bandwidth=1e10, model="a processor, 2 threads")


def of_llama(machine, layers=32, trained=True, **more):
    """As Llama 2 7B: 32 layers of 4,096 and 11,008, 32,000 tokens."""
    weights = [Weight("model.embed_tokens.weight", (32_000, 4096), "embedding", 16, trained)]
    for layer in range(layers):
        for name, shape in (("q", (4096, 4096)), ("up", (11_008, 4096)), ("down", (4096, 11_008))):
            times = {"q": 4, "up": 2, "down": 1}[name]
            weights += [
                Weight(f"model.layers.{layer}.{name}{number}.weight", shape, "linear", 16, trained)
                for number in range(times)
            ]
    weights.append(Weight("lm_head.weight", (32_000, 4096), "head", 16, trained))
    flops = 2.0 * sum(weight.count for weight in weights if weight.kind != "embedding")
    made = Estimate(
        "bf16", tuple(weights), 4096, 32_000, sequences=4, length=2048, flops_per_token=flops, machine=machine
    )
    return replace(made, flops_per_pair=4.0 * layers * 4096, passes=3.0, data=Extent(1000, 2048.0), **more)


def test_a_step_of_7b_on_an_a100_is_as_published():
    """Trainings of 7B reach 3,000 to 4,000 tokens a second of an A100 (LLaMA 2: 3.3 Mio. hours for 2 T tokens over all
    sizes; MosaicML's table for MPT-7B: 3,300 to 4,300)."""
    terms = training_step(of_llama(machine_named("a100-80gb")))
    assert terms.bound == "products of matrices"
    assert 2500 < 4 * 2048 / terms.total < 4500


def test_products_are_flops_over_what_is_reached():
    made = of_llama(machine_named("a100-80gb"))
    plain = replace(made, flops_per_pair=0)
    assert training_step(plain).products == pytest.approx(8192 * 3 * made.flops_per_token / (0.45 * 312e12))
    assert training_step(made).products > training_step(plain).products
    assert training_step(made, 4096).products == pytest.approx(training_step(made).products / 2)


def test_tokens_of_a_step():
    made = of_llama(OWN, accumulated=3)
    assert tokens_of_a_step(made) == 3 * 4 * 2048
    short = replace(made, data=Extent(1000, 100.0))
    assert tokens_of_a_step(short) == 3 * 4 * 100
    assert 3 * 4 * 100 < tokens_of_a_step(replace(short, padded=True)) < 3 * 4 * 2048
    pairs = replace(short, per_example=2)
    assert tokens_of_a_step(pairs) == 3 * 2 * 100, "an example's tokens are those of both its sequences"
    left_open = replace(short, of_step=16, sequences=5, accumulated=4)
    assert tokens_of_a_step(left_open) == 16 * 100, "not of 4 × 5, for the last pass has one example"
    assert tokens_of_a_step(replace(made, data=Extent())) == 3 * 4 * 2048, "nobody knows: as many as may be"


def test_padding_and_attention_are_of_lengths_as_they_are_spread():
    """Beside what drawing batches of four at random finds, and the sum of squares."""
    draws = random.Random(3)
    lengths = [min(round(draws.lognormvariate(5, 0.8)), 1500) for _ in range(4000)]
    longest = sum(max(draws.choices(lengths, k=4)) for _ in range(20_000)) / 20_000
    spread = spread_of(Counter(lengths))
    data = Extent(4000, sum(lengths) / 4000, spread=spread)
    squares = sum(length**2 for length in lengths) / sum(lengths)
    assert len(spread) == 256 and list(spread) == sorted(spread)
    assert data.around_a_token == pytest.approx(squares, rel=0.03)
    assert data.longest_of(4) == pytest.approx(longest, rel=0.03) and data.longest_of(1) == sum(spread) / 256
    made = replace(of_llama(OWN), data=data)
    assert tokens_of_a_step(replace(made, padded=True)) == pytest.approx(4 * longest, rel=0.03)
    assert tokens_of_a_step(replace(made, padded=True, length=100)) == pytest.approx(4 * 100, rel=0.02)
    alike = replace(made, data=replace(data, spread=(round(squares),) * 256))
    assert training_step(made, 1000).total == pytest.approx(training_step(alike, 1000).total, rel=0.01)
    assert training_step(replace(made, data=replace(data, spread=())), 1000).total < training_step(made, 1000).total
    assert spread_of({}) == () and spread_of({7: 3}) == (7,) * 256


def test_narrow_heads_take_longer_on_a_cpu():
    """Scores take as long as their products there; a GPU computes them beside."""
    wide, narrow = (of_llama(OWN, layers=2, head_width=width) for width in (128, 16))
    assert training_step(narrow).total > 1.1 * training_step(wide).total
    card = machine_named("rtx4090")
    assert training_step(replace(narrow, machine=card)) == training_step(replace(wide, machine=card))


def test_an_adapter_costs_no_gradients_of_the_weights():
    """Two of three products, and few calls and little memory beside, though it has twice as many matrices."""
    whole = of_llama(OWN, layers=2)
    beside = [
        Weight(weight.name.replace("weight", f"lora_{part}.weight"), shape, "other", 32, trained=True)
        for weight in whole.weights
        if weight.kind == "linear"
        for part, shape in (("A", (8, weight.shape[1])), ("B", (weight.shape[0], 8)))
    ]
    frozen = tuple(replace(weight, trained=False) for weight in whole.weights)
    adapted = replace(whole, weights=(*frozen, *beside), passes=2.0)
    terms, of_whole = training_step(adapted, 1000), training_step(whole, 1000)
    assert terms.products < 0.75 * of_whole.products and terms.traffic < of_whole.traffic
    assert terms.calls < 2 * of_whole.calls


def test_other_work_takes_as_long_as_its_slowest_part():
    card = machine_named("h100x8")
    assert of_work(Work(sent=0.7 * 450e9, bytes=1), card, "bf16") == Terms(0, 0, 0, pytest.approx(1))
    assert of_work(Work(bytes=0.8 * card.bandwidth, flops=1), card, "bf16").traffic == pytest.approx(1)
    assert of_work(Work(seconds=2, flops=1e12), card, "bf16").total == 2
    made = of_llama(card).doing("sent", Work(sent=0.7 * 450e9, per="step"))
    assert training_step(made).total == pytest.approx(training_step(of_llama(card)).total + 1)


def test_one_run_scales_and_several_tell_terms_apart():
    truth = (2.0, 0.5, 3.0)
    terms = [(1.0, 0.1, 0.02), (0.2, 0.9, 0.05), (0.1, 0.2, 0.4), (0.5, 0.5, 0.1), (2.0, 0.3, 0.1)]
    runs = [((*each, 0.25), 0.25 + sum(a * b for a, b in zip(each, truth, strict=True))) for each in terms]
    assert learned.fitted([]) == (1, 1, 1)
    assert learned.fitted([((1, 0.5, 0.5, 0), 6.0)]) == pytest.approx((3, 3, 3))
    factors = learned.fitted(runs)
    for each in [(0.8, 0.4, 0.1), (0.3, 0.3, 0.3)]:
        predicted, measured = (sum(a * b for a, b in zip(each, by, strict=True)) for by in (factors, truth))
        assert predicted == pytest.approx(measured, rel=0.1)


def test_what_is_learned_is_used_for_other_runs(monkeypatch, tmp_path):
    """A machine at a third of the speed is known after one run; a card that was named is not changed by it."""
    monkeypatch.setenv("XDG_CACHE_HOME", str(tmp_path))
    short, long = (replace(of_llama(OWN, layers=2), precision="fp32", steps=5, length=size) for size in (128, 512))
    before = time_of(long)
    assert before.runs == 0
    learned.learn(short, learned.Measured(3 * training_step(short, 300).total, 300, 7.0))
    after = time_of(long)
    assert after.runs == 1 and after.step == pytest.approx(3 * before.step, rel=0.01) and after.loading == 7
    assert time_of(replace(long, precision="bf16")).runs == 0
    learned.learn(replace(short, machine=machine_named("rtx4090")), learned.Measured(1.0))
    assert len(list(tmp_path.rglob("*.json"))) == 1


@pytest.mark.parametrize("text", ["", "[]", '{"runs": 3}', '{"runs": [{"terms": [1, 2], "seconds": "x"}]}'])
def test_a_damaged_file_is_as_none(monkeypatch, tmp_path, text):
    monkeypatch.setenv("XDG_CACHE_HOME", str(tmp_path))
    made = replace(of_llama(OWN, layers=1), precision="fp32")
    learned.learn(made, learned.Measured(1.0))
    (file,) = tmp_path.rglob("*.json")
    assert len(json.loads(file.read_text())["runs"]) == 1
    file.write_text(text)
    assert learned.known(made) == learned.Known()
    learned.learn(made, learned.Measured(1.0))
    assert learned.known(made).runs == 1


def test_the_newest_runs_are_kept(monkeypatch, tmp_path):
    monkeypatch.setenv("XDG_CACHE_HOME", str(tmp_path))
    made = replace(of_llama(OWN, layers=1), precision="fp32")
    for seconds in range(1, 60):
        learned.learn(made, learned.Measured(float(seconds)))
    for senseless in (None, 0.0, float("nan"), float("inf"), -1.0):
        learned.learn(made, learned.Measured(senseless))
    (file,) = tmp_path.rglob("*.json")
    assert [run["seconds"] for run in json.loads(file.read_text())["runs"]] == list(range(28, 60))


def test_the_whole_run(monkeypatch, tmp_path):
    monkeypatch.setenv("XDG_CACHE_HOME", str(tmp_path))
    made = of_llama(machine_named("a100-80gb"), steps=10, processes=2, pauses=Pauses(3, 2, 1, whole=True))
    made = replace(made, data=Extent(1000, 1024.0, held_out=100))
    found = time_of(made)
    assert found.training == pytest.approx(10 * found.step) and found.tokens == 10 * 4 * 1024 * 2
    assert found.evaluation == pytest.approx(3 * 50 / 4 / 3 * (found.step - 0.05), rel=0.15), (
        "a third of a step's costs"
    )
    assert found.total == pytest.approx(found.loading + found.training + found.evaluation + found.other + found.saving)
    assert time_of(replace(made, steps=None)).total is None
    assert time_of(replace(made, machine=machine_named("24gb"))) is None


def test_what_is_written():
    """A checkpoint has the weights that are trained beside the model, or all, and the optimizer's states, whole."""
    weights = (Weight("a", (100, 10), "linear", 16), Weight("b", (10, 10), "other", 32, trained=True, part=0.25))
    states = Memory(2 * 100, of="states")
    made = Estimate("bf16", weights).plus("optimizer states", states)
    made = replace(made, pauses=Pauses(written=4, kept=2))
    assert result_size(made) == 400 and checkpoint_size(made) == 400 + 4 * 200
    assert with_files(made).disk == {"checkpoints": 2 * 1200, "result": 400}
    whole = replace(made, pauses=Pauses(written=4, kept=2, whole=True))
    assert result_size(whole) == 400 + 2000
    assert with_files(replace(made, weights=weights[:1])).disk == {"checkpoints": 400}
