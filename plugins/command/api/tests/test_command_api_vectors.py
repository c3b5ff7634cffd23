"""Vectors, orders and scores: what engines say, in the shapes that clients read."""

from __future__ import annotations

import base64
import json
import math
import struct
from pathlib import Path
from typing import Any

import pytest
from tunesmith import TunesmithError
from tunesmith.types import Delta


def vector_of(tokens: list[int]) -> list[float]:
    return [float(len(tokens)), float(tokens[0] % 7), -1.0]


@pytest.fixture
def served(serving: Any) -> Any:
    served = serving()
    served.asked = []

    def embed(sequences: Any, *, adapter: str | None = None) -> list[list[float]]:
        served.asked.append((sequences, adapter))
        return [vector_of(sequence) for sequence in sequences]

    served.engine.embed = embed
    served.engine.adapters = ("polite",)
    return served


def unit(vector: list[float]) -> list[float]:
    length = sum(value**2 for value in vector) ** 0.5
    return [value / length for value in vector]


def test_embeddings(served: Any, handle: Any) -> None:
    texts = ["The tide.", "Whales sing, the tide turns."]
    tokens = [handle.processor(text)["input_ids"] for text in texts]
    reply = served.client.post("/v1/embeddings", json={"input": texts, "model": "polite", "user": "me"}).json()
    assert [each["embedding"] for each in reply["data"]] == [pytest.approx(unit(vector_of(each))) for each in tokens]
    assert [(each["index"], each["object"]) for each in reply["data"]] == [(0, "embedding"), (1, "embedding")]
    assert reply["object"] == "list" and reply["model"] == "polite"
    count = sum(map(len, tokens))
    assert reply["usage"] == {"prompt_tokens": count, "total_tokens": count}
    assert served.asked == [(tokens, "polite")]


@pytest.mark.slow
def test_embeddings_by_openais_client(served: Any, handle: Any) -> None:
    """Which asks for base64 unless told otherwise, and unpacks it."""
    openai = pytest.importorskip("openai")
    tokens = handle.processor("The tide.")["input_ids"]
    with openai.OpenAI(base_url=f"http://127.0.0.1:{served.port}/v1", api_key="none", max_retries=0) as client:
        reply = client.embeddings.create(model=served.service.name, input="The tide.")
    assert reply.data[0].embedding == pytest.approx(unit(vector_of(tokens)), rel=1e-6)
    assert reply.usage.prompt_tokens == len(tokens)


@pytest.mark.parametrize("given", ["The tide.", [5, 6, 7], [[5, 6, 7]]])
def test_one_input_in_several_forms(served: Any, given: Any) -> None:
    reply = served.client.post("/v1/embeddings", json={"input": given, "encoding_format": "base64"}).json()
    (sequences, adapter), (found,) = served.asked[0], reply["data"]
    packed = base64.b64decode(found["embedding"])
    assert struct.unpack("<3f", packed) == pytest.approx(unit(vector_of(sequences[0])), rel=1e-6)
    assert adapter is None and len(sequences) == 1


@pytest.mark.parametrize(
    ("changed", "param"),
    [
        ({"input": []}, "input"),
        ({"input": ""}, "input"),
        ({"input": [[]]}, "input"),
        ({"input": [[99_999]]}, "input"),
        ({"input": ["a"] * 2049}, "input"),
        ({"dimensions": 2}, "dimensions"),
        ({"dimensions": 0}, "dimensions"),
        ({"encoding_format": "int8"}, "encoding_format"),
    ],
)
def test_embeddings_that_are_none(served: Any, changed: Any, param: str) -> None:
    reply = served.client.post("/v1/embeddings", json={"input": "a", **changed})
    assert reply.status_code == 400 and reply.json()["error"]["param"] == param, reply.text


def test_all_dimensions_are_no_fewer(served: Any) -> None:
    assert served.client.post("/v1/embeddings", json={"input": "a", "dimensions": 3}).status_code == 200


def test_an_engine_without_vectors_says_why(served: Any) -> None:
    def embed(*_: Any, **__: Any) -> None:
        raise TunesmithError("this engine has no vectors")

    served.engine.embed = embed
    for path, body in (
        ("/v1/embeddings", {"input": "a"}),
        ("/v1/rerank", {"query": "a", "documents": ["b"]}),
        ("/score", {"text_1": "a", "text_2": "b"}),
    ):
        reply = served.client.post(path, json=body)
        assert reply.status_code == 400 and "no vectors" in reply.json()["error"]["message"]


def likeness(handle: Any, one: str, other: str) -> float:
    vectors = [unit(vector_of(handle.processor(text)["input_ids"])) for text in (one, other)]
    return math.fsum(a * b for a, b in zip(*vectors, strict=True))


def test_rerank_by_vectors(served: Any, handle: Any) -> None:
    query, texts = "Who counts the waves?", ["Whales sing, the tide turns.", "Nobody counts them twice.", "waves"]
    expected = [likeness(handle, query, text) for text in texts]
    order = sorted(range(3), key=lambda index: -expected[index])
    reply = served.client.post("/v1/rerank", json={"query": query, "documents": texts}).json()
    assert [each["index"] for each in reply["results"]] == order
    assert [each["relevance_score"] for each in reply["results"]] == pytest.approx([expected[i] for i in order])
    assert [each["document"] for each in reply["results"]] == [{"text": texts[index]} for index in order]
    assert len(served.asked[0][0]) == 4, "the query is read once"
    first = served.client.post(
        "/rerank",
        json={"query": query, "documents": [{"text": text} for text in texts], "top_n": 1, "return_documents": False},
    ).json()
    assert first["results"] == [{"index": order[0], "relevance_score": pytest.approx(expected[order[0]])}]


@pytest.mark.parametrize(
    ("body", "pairs"),
    [
        ({"text_1": "a", "text_2": "b c"}, [("a", "b c")]),
        ({"text_1": "a", "text_2": ["b", "c"]}, [("a", "b"), ("a", "c")]),
        ({"text_1": ["a", "d"], "text_2": ["b", "c"]}, [("a", "b"), ("d", "c")]),
        ({"queries": "a", "documents": ["b"]}, [("a", "b")]),
    ],
)
def test_scores_of_pairs(served: Any, handle: Any, body: Any, pairs: Any) -> None:
    reply = served.client.post("/score", json=body).json()
    assert [each["score"] for each in reply["data"]] == pytest.approx([likeness(handle, *pair) for pair in pairs])
    assert [each["index"] for each in reply["data"]] == list(range(len(pairs))) and reply["object"] == "list"


@pytest.mark.parametrize(
    "body",
    [
        {},
        {"text_1": "a"},
        {"text_1": "a", "text_2": []},
        {"text_1": ["a", "b"], "text_2": ["c"]},
        {"text_1": "a", "documents": ["c"]},
        {"text_1": "a", "text_2": "b", "queries": "a", "documents": ["c"]},
    ],
)
def test_what_makes_no_pairs(served: Any, body: Any) -> None:
    reply = served.client.post("/v1/score", json=body)
    assert reply.status_code == 400 and reply.json()["error"]["param"] in ("text_1", "text_2")


def test_a_model_that_writes_is_no_reward_model(served: Any) -> None:
    reply = served.client.post("/v1/score/evaluation", json={"messages": ["a"]})
    assert reply.status_code == 400 and "stage=reward" in reply.json()["error"]["message"]


# ---- a reward model


@pytest.fixture(scope="module")
def classifier(tmp_path_factory: pytest.TempPathFactory, handle: Any) -> Path:
    """A small random reward model's folder, with the template among its files."""
    import torch
    from transformers import AutoConfig, AutoModelForSequenceClassification

    folder = tmp_path_factory.mktemp("classifier")
    config = AutoConfig.for_model(
        "llama",
        vocab_size=len(handle.processor),
        hidden_size=32,
        intermediate_size=64,
        num_hidden_layers=2,
        num_attention_heads=2,
        num_key_value_heads=1,
        max_position_embeddings=64,
        pad_token_id=handle.processor.pad_token_id,
        num_labels=1,
    )
    with torch.random.fork_rng():
        torch.manual_seed(0)
        AutoModelForSequenceClassification.from_config(config).save_pretrained(folder)
    handle.processor.save_pretrained(folder)
    return folder


def alone(folder: Path, processor: Any, text: str) -> float:
    """The score of a text, by transformers alone."""
    import torch
    from transformers import AutoModelForSequenceClassification

    ids = torch.tensor([processor.encode(text, add_special_tokens=False)])
    with torch.no_grad():
        return float(AutoModelForSequenceClassification.from_pretrained(folder).eval()(input_ids=ids).logits[0, 0])


def test_a_reward_model_gives_scores_and_writes_nothing(classifier: Path, handle: Any) -> None:
    import httpx2 as httpx
    from tunesmith_command_api.server import Server

    question, answers = "Who?", ["Nobody counts them twice.", "Whales sing."]
    chats = [[{"role": "user", "content": question}, {"role": "assistant", "content": each}] for each in answers]
    texts = [handle.template.render(chat, training=True).text for chat in chats]
    expected = [alone(classifier, handle.processor, text) for text in texts]
    with (
        Server({"model": {"path": str(classifier)}, "template": "chatml", "precision": "fp32"}, port=0) as server,
        httpx.Client(base_url=server.url, timeout=60) as client,
    ):

        def post(path: str, status: int = 200, **body: Any) -> Any:
            reply = client.post(path, json=body)
            assert reply.status_code == status, reply.text
            return reply.json()

        whole = post("/v1/score/evaluation", messages=texts, model=server.service.name)
        assert whole["scores"] == pytest.approx(expected, abs=1e-5) and whole["object"] == "score.evaluation"
        assert post("/v1/score/evaluation", messages=chats)["scores"] == pytest.approx(expected, abs=1e-5)
        assert post("/v1/score/evaluation", messages=chats[1])["scores"] == pytest.approx(expected[1:], abs=1e-5)
        by_factory = {"model": "model", "messages": texts}  # as LLaMA-Factory's get_rewards_from_server sends it
        assert post("/v1/score/evaluation", **by_factory)["scores"] == pytest.approx(expected, abs=1e-5)
        assert "does not exist" in post("/v1/score/evaluation", 404, messages=texts, model="other")["error"]["message"]
        cut = handle.processor.decode(handle.processor.encode(texts[0], add_special_tokens=False)[-3:])
        short = post("/v1/score/evaluation", messages=texts[:1], max_length=3)
        assert short["scores"] == pytest.approx([alone(classifier, handle.processor, cut)], abs=1e-5)
        pairs = post("/score", text_1=question, text_2=answers)
        assert [each["score"] for each in pairs["data"]] == pytest.approx(expected, abs=1e-5)
        ranked = post("/v1/rerank", query=question, documents=answers)
        assert [each["relevance_score"] for each in ranked["results"]] == pytest.approx(
            sorted(expected)[::-1], abs=1e-5
        )
        prompts, rows = [chats[0][:1]] * 2, [{}, {}]
        by_http = post("/v1/score/evaluation", prompts=prompts, completions=answers, rows=rows)
        assert by_http["scores"] == pytest.approx(expected, abs=1e-5)
        rewards = pytest.importorskip("tunesmith_reward_http")
        reward = rewards.Http(url=f"{server.url}/v1/score/evaluation")
        assert reward.score(prompts=prompts, completions=answers, rows=rows) == pytest.approx(expected, abs=1e-5)
        assert post("/v1/score/evaluation", 400, prompts=prompts)["error"]["param"] == "completions"
        assert post("/v1/score/evaluation", 400)["error"]["param"] == "messages"
        refused = post("/v1/chat/completions", 400, messages=chats[0][:1])
        assert "reward model" in refused["error"]["message"] and "/v1/score" in refused["error"]["message"]
        assert "reward model" in post("/v1/completions", 400, prompt="a")["error"]["message"]
        assert "reward model" in post("/v1/embeddings", 400, input="a")["error"]["message"]
        assert "context ends at 64" in post("/v1/score/evaluation", 400, messages=["a b " * 99])["error"]["message"]
        assert post("/v1/score/evaluation", 400, messages=[])["error"]["param"] == "messages"
        assert post("/v1/score/evaluation", 400, messages=[""])["error"]["param"] == "messages"
        assert client.get("/health").status_code == 200
        assert "tunesmith_prompt_tokens_total" in client.get("/metrics").text


@pytest.mark.slow
def test_a_run_of_stage_reward_is_served(tiny_llama: Path, tmp_path: Path) -> None:
    """With an adapter, and as the classifier that its export is: both give the same scores."""
    pytest.importorskip("tunesmith_stage_reward")
    pytest.importorskip("tunesmith_adapter_lora")
    import httpx2 as httpx
    import tunesmith
    from tunesmith_command_api.server import Server

    rows = [{"instruction": f"Say {n}.", "chosen": f"The tide {n}.", "rejected": f"whale {n}"} for n in range(8)]
    (tmp_path / "pairs.json").write_text(json.dumps(rows))
    run = tunesmith.train(
        {
            "model": {"path": str(tiny_llama)},
            "template": "chatml",
            "data": {"train": [str(tmp_path / "pairs.json")], "cache": False},
            "stage": "reward",
            "adapter": "lora",
            "precision": "fp32",
            "tracker": [],
            "output_dir": str(tmp_path / "run"),
            "trainer": {"max_steps": 2, "learning_rate": 1e-2, "save_strategy": "no"},
        }
    )
    exported = tunesmith.export(run, output_dir=tmp_path / "exported")
    body = {"queries": "Say 3.", "documents": ["The tide 3.", "whale 3"]}
    found = []
    for served in (run, exported):
        server = Server(served, {"precision": "fp32"}, port=0)
        with server, httpx.Client(base_url=server.url, timeout=60) as client:
            found.append([each["score"] for each in client.post("/score", json=body).json()["data"]])
            chat = {"messages": [{"role": "user", "content": "Say 3."}]}
            assert client.post("/v1/chat/completions", json=chat).status_code == 400
    processor = tunesmith.open_model(run).processor
    conversation = [{"role": "user", "content": "Say 3."}, {"role": "assistant", "content": "whale 3"}]
    text = tunesmith.open_model(run).template.render(conversation, training=True).text
    assert found[0] == pytest.approx(found[1], abs=1e-4)
    assert found[1][1] == pytest.approx(alone(exported, processor, text), abs=1e-4)


# ---- adapters


def test_adapters_come_and_go(serving: Any, tmp_path: Path) -> None:
    allowed = tmp_path / "adapters"
    for folder in (allowed / "polite", tmp_path / "adapters-elsewhere", allowed / "empty"):
        folder.mkdir(parents=True)
    for folder in (allowed / "polite", tmp_path / "adapters-elsewhere", allowed / "pickled", allowed / "linked"):
        folder.mkdir(exist_ok=True)
        (folder / "adapter_config.json").write_text("{}")
    for folder in (allowed / "polite", tmp_path / "adapters-elsewhere"):
        (folder / "adapter_model.safetensors").write_bytes(b"")
    (allowed / "pickled" / "adapter_model.bin").write_bytes(b"")
    (allowed / "linked" / "adapter_model.safetensors").symlink_to(
        tmp_path / "adapters-elsewhere" / "adapter_model.safetensors"
    )
    (allowed / "link").symlink_to(tmp_path / "adapters-elsewhere")
    served = serving(allow_adapters=str(allowed))
    engine = served.engine
    engine.load_adapter = lambda name, folder: setattr(engine, "adapters", (*engine.adapters, name))
    engine.unload_adapter = lambda name: setattr(engine, "adapters", tuple(set(engine.adapters) - {name}))
    engine.on_submit = lambda request, answer: answer.put(Delta((40,), finish_reason="length"))

    def load(**body: Any) -> Any:
        return served.client.post("/v1/load_lora_adapter", json={"lora_name": "p", "lora_path": "polite", **body})

    assert load().status_code == 200
    assert load(lora_name="q", lora_path=str(allowed / "polite")).status_code == 200
    assert "p" in [each["id"] for each in served.client.get("/v1/models").json()["data"]]
    assert served.client.post("/v1/chat/completions", json=served.chat(model="p")).status_code == 200
    assert engine.requests[-1].adapter == "p"
    assert load().json()["error"]["code"] == "name_taken"
    assert load(lora_name=served.service.name).json()["error"]["code"] == "name_taken"
    for path in (
        "../adapters-elsewhere",
        "link",
        "nothing",
        "empty",
        "pickled",
        "linked",
        "/etc",
        str(tmp_path / "adapters-elsewhere"),
        "\0",
    ):
        refused = load(lora_name="x", lora_path=path)
        assert refused.status_code == 400 and refused.json()["error"]["code"] == "not_allowed", path
    assert served.client.post("/v1/unload_lora_adapter", json={"lora_name": "p"}).status_code == 200
    assert served.client.post("/v1/unload_lora_adapter", json={"lora_name": "p"}).status_code == 404
    assert served.client.post("/v1/chat/completions", json=served.chat(model="p")).status_code == 404


def test_adapters_need_leave_and_an_engine_that_can(serving: Any, tmp_path: Path) -> None:
    (tmp_path / "adapter_config.json").write_text("{}")
    (tmp_path / "adapter_model.safetensors").write_bytes(b"")
    body = {"lora_name": "p", "lora_path": "."}
    for path in ("/v1/load_lora_adapter", "/v1/unload_lora_adapter"):
        assert serving().client.post(path, json=body).status_code == 403
    reply = serving(allow_adapters=str(tmp_path)).client.post("/v1/load_lora_adapter", json=body)
    assert reply.status_code == 400 and "cannot load adapters" in reply.json()["error"]["message"]


def test_adapters_at_the_start(tmp_path: Path) -> None:
    from tunesmith.errors import ConfigError
    from tunesmith_command_api.adapters import adapters_of

    (tmp_path / "adapter_config.json").write_text("{}")
    assert adapters_of([f"a={tmp_path}", f"b={tmp_path}"]) == {"a": tmp_path, "b": tmp_path}
    with pytest.raises(ConfigError) as raised:
        adapters_of(["a", "=b", f"c={tmp_path}", f"c={tmp_path}", "d=nowhere"])
    said = str(raised.value)
    assert said.count("NAME=PATH") == 2 and "two of the name c" in said and "nowhere holds no adapter" in said


@pytest.mark.slow
def test_adapters_and_vectors_of_a_real_engine(tiny_llama: Path, tmp_path: Path) -> None:
    """What peft and transformers say by themselves: of the model, of one adapter from the start, and of one behind."""
    pytest.importorskip("tunesmith_engine_transformers")
    import httpx2 as httpx
    import torch
    from peft import LoraConfig, PeftModel, get_peft_model
    from transformers import AutoModelForCausalLM
    from tunesmith_command_api.server import Server

    def plain() -> Any:
        return AutoModelForCausalLM.from_pretrained(tiny_llama, dtype=torch.float32).eval()

    for seed, name in enumerate(("first", "second")):
        with torch.random.fork_rng():
            torch.manual_seed(seed)
            config = LoraConfig(r=4, lora_alpha=64, target_modules=["q_proj", "v_proj"], init_lora_weights=False)
            get_peft_model(plain(), config).save_pretrained(tmp_path / name)
    ids = [5, 6, 7, 8]
    prompt = torch.tensor([ids])

    def written(model: Any) -> list[int]:
        made: list[int] = model.generate(prompt, max_new_tokens=6, do_sample=False)[0, len(ids) :].tolist()
        return made

    expected = {"plain": written(plain())}
    for name in ("first", "second"):
        expected[name] = written(PeftModel.from_pretrained(plain(), tmp_path / name).eval())
    assert len({str(each) for each in expected.values()}) == 3
    with torch.no_grad():
        hidden = plain()(prompt, output_hidden_states=True).hidden_states[-1][0].mean(0)
    config_ = {"model": {"path": str(tiny_llama)}, "template": "chatml", "precision": "fp32"}
    options = {"adapter": (f"first={tmp_path / 'first'}",), "allow_adapters": str(tmp_path), "model_name": "plain"}
    with Server(config_, port=0, **options) as server, httpx.Client(base_url=server.url, timeout=60) as client:
        reply = client.post("/v1/load_lora_adapter", json={"lora_name": "second", "lora_path": "second"})
        assert reply.status_code == 200, reply.text
        for name, tokens in expected.items():
            body = {"prompt": ids, "model": name, "max_tokens": 6, "temperature": 0, "logprobs": 0}
            reply = client.post("/v1/completions", json=body)
            assert reply.status_code == 200, reply.text
            told = reply.json()["choices"][0]["logprobs"]["tokens"]
            assert told == [server.service.words.name_of(token) for token in tokens], name
        found = client.post("/v1/embeddings", json={"input": ids, "model": "plain"}).json()["data"][0]["embedding"]
        assert found == pytest.approx((hidden / hidden.norm()).tolist(), abs=1e-5)
        assert client.post("/v1/unload_lora_adapter", json={"lora_name": "second"}).status_code == 200
        assert client.post("/v1/completions", json={"prompt": ids, "model": "second"}).status_code == 404
