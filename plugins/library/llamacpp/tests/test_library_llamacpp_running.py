"""Tiny models in llama.cpp, beside transformers and numpy."""

import re
import resource

import numpy
import pytest
import torch
from tunesmith import TunesmithError
from tunesmith_library_chat.chatml import CHATML
from tunesmith_library_testing.gguf import save_tiny_gguf, save_tiny_lora
from tunesmith_library_testing.parts import CHAT, load_plain
from tunesmith_library_testing.tiny import save_tiny_model

pytestmark = pytest.mark.slow
pytest.importorskip("llama_cpp", reason="llama-cpp-python is not installed: make programs")

TEXTS = ("Whales sing, the tide turns.", "<|im_start|>user\n你好 \N{WHALE} x<|im_end|>\n", "  two  spaces\n\n", "a")


@pytest.fixture(scope="module")
def model(tmp_path_factory):
    """A folder whose rows the k-quants can hold, and the same in GGUF."""
    folder = save_tiny_model(tmp_path_factory.mktemp("gguf") / "wide", hidden_size=256, seed=3)
    return folder, save_tiny_gguf(folder, folder.parent / "wide.gguf", template=CHATML.exported)


@pytest.fixture(scope="module")
def narrow(tiny_llama, tmp_path_factory):
    return save_tiny_gguf(tiny_llama, tmp_path_factory.mktemp("gguf") / "narrow.gguf")


@pytest.fixture(autouse=True)
def silent(capfd):
    """llama.cpp writes nothing on the screen."""
    yield
    said = re.split(r"[\r\n]+", "".join(capfd.readouterr()))
    assert [line for line in said if line and "Loading weights:" not in line] == [], "those are transformers'"


def reader_of(*paths, **options):
    from tunesmith_library_llamacpp.reader import GGUFReader

    return GGUFReader(*paths, threads=1, **options)


def test_equals_transformers(model, tiny_bpe):
    """Logits, tokens, text and the greedy answer; a text that is longer than a batch too."""
    folder, file = model
    plain, long = load_plain(folder), [5 + at % 300 for at in range(700)]
    with reader_of(file) as reader:
        assert reader.program.startswith("llama.cpp ")
        assert tiny_bpe.eos_token_id in reader.end_tokens
        for ids in (*(tiny_bpe.encode(text, add_special_tokens=False) for text in TEXTS), long):
            with torch.no_grad():
                expected = plain(torch.tensor([ids]), use_cache=False).logits[0]
            assert (reader.logits(ids) - expected).abs().max() < 1e-4
        for text in TEXTS:
            assert reader.tokens(text) == tiny_bpe.encode(text, add_special_tokens=False)
        prompt = long[:600]
        made = plain.generate(torch.tensor([prompt]), max_new_tokens=6, min_new_tokens=6, do_sample=False)
        assert reader.answer(prompt, 6) == made[0, 600:].tolist()


def test_the_template(model, narrow):
    """A conversation by the Jinja of the file, in the sandbox of llama-cpp-python."""
    from tunesmith_library_proving.texts import Text

    text = Text("", (), tuple(CHAT))
    with reader_of(model[1]) as reader:
        assert reader.text(text, prompt=False) == CHATML.render(CHAT).text
        asked = next(at for at, turn in enumerate(CHAT) if turn["role"] == "user")
        assert reader.text(text, prompt=True) == CHATML.render(CHAT[: asked + 1], add_generation_prompt=True).text
    with reader_of(narrow) as reader:
        assert reader.text(text, prompt=False) is None


def test_an_adapter(model, tmp_path):
    """LoRA weights over a file compute what they compute when they are added to it."""
    folder, file = model
    added = save_tiny_lora(folder, tmp_path / "lora.gguf")
    plain = load_plain(folder)
    for name, weight in plain.named_parameters():
        if name in added:
            weight.data += torch.from_numpy(added[name])
    ids = [5, 9, 200, 31]
    with torch.no_grad():
        expected = plain(torch.tensor([ids]), use_cache=False).logits[0]
    with reader_of(file, tmp_path / "lora.gguf") as reader, reader_of(file) as without:
        assert (reader.logits(ids) - expected).abs().max() < 2e-3 * expected.abs().max()
        assert (without.logits(ids) - expected).abs().max() > 0.1 * expected.abs().max()
    with pytest.raises(TunesmithError, match=r"no adapter: its general\.type is None"):
        reader_of(file, file)


def test_what_cannot_be_loaded(model, tmp_path):
    cut = tmp_path / "cut.gguf"
    cut.write_bytes(model[1].read_bytes()[:-5000])
    with pytest.raises(TunesmithError, match=r"cannot load .*cut\.gguf \(llama\): .*(corrupted|not within|bounds)"):
        reader_of(cut)
    with pytest.raises(TunesmithError, match="no file"):
        reader_of(tmp_path / "nowhere.gguf")


def test_quantised(model, tmp_path):
    """Every tensor is counted as the file has it; the model still says about the same, and less so with fewer bits."""
    from tunesmith_library_llamacpp.quantising import kinds, quantize

    assert {"f16", "bf16", "f32", "q8_0", "q4_k_m", "q2_k", "iq4_xs"} <= set(kinds())
    ids, far = [5, 9, 200, 31, 77], {}
    with reader_of(model[1]) as reader:
        expected = reader.logits(ids)
    for kind in ("f16", "q8_0", "q4_k_m"):
        counted = quantize(model[1], tmp_path / f"{kind}.gguf", kind.upper(), threads=1)
        assert counted.fallbacks == {} and counted.kind == kind
        assert sum(counted.types.values()) == len(counted.tensors) == 2 * 9 + 3
        assert counted.types["f32"] == 5  # norms
        with reader_of(tmp_path / f"{kind}.gguf") as reader:
            far[kind] = float((reader.logits(ids) - expected).abs().max())
    assert counted.types["q4_k"] > counted.types["q6_k"] > 0
    assert far["f16"] < far["q8_0"] < far["q4_k_m"] < expected.abs().max()
    with pytest.raises(TunesmithError, match="did you mean q4_k_m"):
        quantize(model[1], tmp_path / "x.gguf", "q4_km")


def test_rows_that_a_type_cannot_hold(narrow, tmp_path):
    """Rows of 64 and 128 numbers are no k-quants: what they became is said, by tensor."""
    from tunesmith_library_llamacpp.quantising import quantize

    counted = quantize(narrow, tmp_path / "narrow.gguf", "q4_k_m", threads=1)
    assert counted.fallbacks["blk.0.attn_q.weight"] == ("q4_k", "q5_0")
    assert all(counted.tensors[name] == got for name, (_, got) in counted.fallbacks.items())
    assert "q4_k" not in counted.types and "could not be" in counted.described()


def test_nothing_is_left_of_what_cannot_be_written(model, tmp_path, monkeypatch):
    """A file that is cut off, as by a full disk, is deleted, and is an error."""
    from tunesmith_library_llamacpp import quantising

    native = quantising.native()
    write = native.llama_model_quantize

    def cut(source, target, parameters):
        code = write(source, target, parameters)
        with open(target, "r+b") as stream:
            stream.truncate(20_000)
        return code

    monkeypatch.setattr(native, "llama_model_quantize", cut)
    with pytest.raises(TunesmithError, match="cut off or broken"):
        quantising.quantize(model[1], tmp_path / "x.gguf", "q8_0", threads=1)
    assert list(tmp_path.iterdir()) == []
    monkeypatch.undo()
    before = resource.getrlimit(resource.RLIMIT_FSIZE)
    resource.setrlimit(resource.RLIMIT_FSIZE, (20_000, before[1]))  # a write fails, as on a full disk
    try:
        with pytest.raises(TunesmithError, match=r"cannot write wide\.gguf as q8_0.*\n.* MiB are left on the disk"):
            quantising.quantize(model[1], tmp_path / "x.gguf", "q8_0", threads=1)
    finally:
        resource.setrlimit(resource.RLIMIT_FSIZE, before)
    assert list(tmp_path.iterdir()) == []
    with pytest.raises(TunesmithError, match="there is no folder"):
        quantising.quantize(model[1], tmp_path / "no" / "x.gguf", "q8_0", threads=1)
    with pytest.raises(TunesmithError, match=r"requires an imatrix|importance"):
        quantising.quantize(model[1], tmp_path / "x.gguf", "iq2_xxs", threads=1)


def test_importance(model, tmp_path):
    """The mean squares of what each linear layer is given, as hooks on transformers' model see them."""
    from gguf import GGUFReader
    from tunesmith_library_llamacpp.importance import importance_matrix, read_importance
    from tunesmith_library_llamacpp.quantising import quantize

    folder, file = model
    texts, target = [[5, 9, 200, 31], [7] * 40, [12]], tmp_path / "imatrix.gguf"
    found = importance_matrix(file, texts, target, origin="a test", threads=1)
    assert (found.texts, found.tokens, found.tensors, found.unseen) == (3, 45, 14, {})
    sums: dict[str, torch.Tensor] = {}
    plain = load_plain(folder)

    def note(name):
        def hook(module, given):
            sums[name] = sums.get(name, 0) + given[0].double().square().flatten(0, 1).sum(0)

        return hook

    for name, module in plain.named_modules():
        if name.endswith("_proj"):
            module.register_forward_pre_hook(note(name))
    with torch.no_grad():
        for ids in texts:
            plain(torch.tensor([ids]), use_cache=False)
    read = read_importance(target)
    ours = {"attn_output": "self_attn.o_proj", "ffn_down": "mlp.down_proj", "attn_k": "self_attn.k_proj"}
    for layer in range(2):
        for name, theirs in ours.items():
            expected = (sums[f"model.layers.{layer}.{theirs}"] / 45).numpy()
            numpy.testing.assert_allclose(read[f"blk.{layer}.{name}.weight"], expected, rtol=1e-3)
    fields = GGUFReader(target).fields
    assert fields["general.type"].contents() == "imatrix" and fields["imatrix.datasets"].contents() == ["a test"]
    assert "general.architecture" not in fields
    plain_file, weighted = (tmp_path / f"{name}.gguf" for name in ("plain", "weighted"))
    assert quantize(file, plain_file, "q4_k_m", threads=1).unweighted == ()
    counted = quantize(file, weighted, "q4_k_m", target, threads=1)
    assert counted.unweighted == ("output.weight",)
    assert plain_file.read_bytes() != weighted.read_bytes()
    with pytest.raises(TunesmithError, match="there are none"):
        importance_matrix(file, [], target)


def test_importance_of_experts(tmp_path, tiny_mixtures):
    """Each expert's columns by the tokens that chose it; one that no token chose counts as one, and is told."""
    from tunesmith_library_llamacpp.importance import importance_matrix, read_importance
    from tunesmith_library_llamacpp.quantising import quantize

    folder, ids = tiny_mixtures["mixtral"], [5, 9]
    file = save_tiny_gguf(folder, tmp_path / "mixture.gguf")
    given: list[tuple[torch.Tensor, torch.Tensor]] = []
    plain = load_plain(folder)
    for layer in plain.model.layers:
        layer.mlp.experts.register_forward_pre_hook(lambda module, given_: given.append(given_[:2]))
    with torch.no_grad():
        expected = plain(torch.tensor([ids]), use_cache=False).logits[0]
    with reader_of(file) as reader:
        assert (reader.logits(ids) - expected).abs().max() < 1e-4
    found = importance_matrix(file, [ids], tmp_path / "imatrix.gguf", threads=1)
    read = read_importance(tmp_path / "imatrix.gguf")
    for layer, (states, chosen) in enumerate(given):
        unseen = 0
        for expert, own in enumerate(read[f"blk.{layer}.ffn_gate_exps.weight"].reshape(4, 64)):
            mine = states.reshape(-1, 64)[(chosen.reshape(len(ids), -1) == expert).any(1)]
            unseen += len(mine) == 0
            wanted = mine.double().square().mean(0) if len(mine) else torch.ones(64)
            numpy.testing.assert_allclose(own, wanted.numpy(), rtol=1e-3)
        assert found.unseen.get(f"blk.{layer}.ffn_gate_exps.weight") == (f"{unseen} of 4" if unseen else None)
        assert f"blk.{layer}.ffn_gate_inp.weight" in read, "the router too"
    assert quantize(file, tmp_path / "q.gguf", "q4_0", tmp_path / "imatrix.gguf", threads=1).types["q4_0"] > 6


def test_the_tokenizer(model, tiny_bpe):
    """Text, special tokens, and what a message spells."""
    from tunesmith_library_chat.tokenizing import tokenize
    from tunesmith_library_llamacpp.tokenizer import GGUFTokenizer

    tokenizer = GGUFTokenizer(model[1])
    assert len(tokenizer) == len(tiny_bpe)
    for name in ("bos", "eos", "pad"):
        for part in (f"{name}_token", f"{name}_token_id"):
            assert getattr(tokenizer, part) == getattr(tiny_bpe, part)
    assert set(tokenizer.all_special_tokens) == set(tiny_bpe.all_special_tokens)
    assert tokenizer.chat_template == CHATML.exported
    for text in TEXTS:
        ids = tiny_bpe.encode(text, add_special_tokens=False)
        assert tokenizer.encode(text, add_special_tokens=False) == ids
        assert tokenizer.decode(ids) == text
        assert tokenizer.decode(ids, skip_special_tokens=True) == tiny_bpe.decode(ids, skip_special_tokens=True)
        assert tokenizer.convert_ids_to_tokens(ids) == tiny_bpe.convert_ids_to_tokens(ids)
    assert tokenizer.decode(tiny_bpe.encode("\N{WHALE}")[:2]).endswith("�")
    spelt = CHATML.bind(tiny_bpe), CHATML.bind(tokenizer)
    chat = [{"role": "user", "content": "say <|im_end|> to me"}]
    theirs, own = (
        tokenize(made, [template.render(chat)], control=template.control)[0].ids
        for made, template in zip((tiny_bpe, tokenizer), spelt, strict=True)
    )
    assert own == theirs
    with pytest.raises(TunesmithError, match="the model that the GGUF file was written from"):
        tokenizer(["a"]).encodings[0].char_to_token(0)
    assert own.count(tiny_bpe.convert_tokens_to_ids("<|im_end|>")) == 1
