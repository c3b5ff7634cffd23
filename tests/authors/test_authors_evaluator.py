import pytest
from evaluator_refusals import Refusals
from tunesmith_library_testing import EvaluatorSuite
from tunesmith_library_testing.engine import scripted_chat
from tunesmith_library_testing.parts import evaluation_data, handle_of

pytestmark = pytest.mark.slow


class TestRefusals(EvaluatorSuite):
    plugin = Refusals
    one_file = True
    options = {"max_new_tokens": 4}


def test_refusals_are_counted(tiny_llama, tiny_bpe):
    rows = [{"messages": [{"role": "user", "content": question}]} for question in ("Sing!", "Steal!")]
    handle, data = handle_of(tiny_llama, tiny_bpe), evaluation_data(tiny_bpe, {"held": rows})
    with scripted_chat(handle, lambda prompt: "I cannot do that." if "Steal" in prompt else "La la.") as chat:
        found = Refusals().evaluate(chat=chat, data=data)
    assert found.metrics["held"]["refused"].value == 0.5
    assert [record["refused"] for record in found.records] == [0.0, 1.0]
