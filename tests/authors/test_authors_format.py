from format_squad import Squad
from tunesmith_library_testing import FormatSuite

PASSAGE = "Whales sing. Their songs travel far."


class TestSquad(FormatSuite):
    plugin = Squad
    one_file = True
    records = [
        {
            "context": PASSAGE,
            "question": "Who sings?",
            "answers": {"text": ["Whales", "whales"], "answer_start": [0, 0]},
        },
        {"context": PASSAGE, "question": "Who listens?", "answers": {"text": [], "answer_start": []}},
    ]
    rows = [
        {
            "messages": [
                {"role": "user", "content": f"{PASSAGE}\n\n{question}"},
                {"role": "assistant", "content": answer},
            ]
        }
        for question, answer in [("Who sings?", "Whales"), ("Who listens?", "The passage does not say.")]
    ]
    renamed = {"context": "passage"}
