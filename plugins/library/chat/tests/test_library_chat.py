"""Chat templates: the text, the assistant's spans with and without marks, and what other programs render."""

from __future__ import annotations

import copy
import json
import logging
import random
import re
from typing import Any

import pytest
from tunesmith import DataError
from tunesmith_library_chat import ChatTemplate, Rendered, find_stop, spans

MARKED = (
    "{%- for message in messages %}{{- '<|im_start|>' ~ message.role ~ '\\n' }}"
    "{%- if message.role == 'assistant' %}{%- generation %}{{- message.content }}"
    "{%- for call in message.tool_calls or [] %}{{- '<tool_call>' ~ (call.function | tojson) }}{%- endfor %}"
    "{{- '<|im_end|>' }}{%- endgeneration %}{%- else %}{{- message.content ~ '<|im_end|>' }}{%- endif %}"
    "{{- '\\n' }}{%- endfor %}"
    "{%- if add_generation_prompt %}{{- '<|im_start|>assistant\\n' }}{%- endif %}"
)
PLAIN = re.sub(r"{%- (end)?generation %}", "", MARKED)
INSTRUCT = (  # the kind of Llama 2: no generation prompt, a space before the answer, alternation enforced
    "{%- for message in messages %}"
    "{%- if (message.role == 'user') != (loop.index0 % 2 == 0) %}{{- raise_exception('must alternate') }}{%- endif %}"
    "{%- if message.role == 'user' %}{{- '<s>[INST] ' ~ message.content ~ ' [/INST]' }}"
    "{%- else %}{{- ' ' ~ message.content ~ ' </s>' }}{%- endif %}{%- endfor %}"
)
REWRITING = (  # the kind of Qwen3: only the last answer shows its thought, and an empty one if it has none
    "{%- for message in messages %}{{- '<|im_start|>' ~ message.role ~ '\\n' }}"
    "{%- if message.role == 'assistant' and loop.last %}"
    "{{- '<think>' ~ (message.reasoning_content or '') ~ '</think>' }}{%- endif %}"
    "{{- message.content ~ '<|im_end|>\\n' }}{%- endfor %}"
    "{%- if add_generation_prompt %}{{- '<|im_start|>assistant\\n<think>' }}{%- endif %}"
)
CHAT = (
    {"role": "system", "content": "Be brief."},
    {"role": "user", "content": "你好?"},
    {"role": "assistant", "content": "你好!"},
    {"role": "user", "content": "Bye?"},
    {"role": "assistant", "content": "Bye."},
)


def chatml(jinja: str = MARKED, **variables: Any) -> ChatTemplate:
    return ChatTemplate("test", jinja, ("<|im_end|>",), variables)


def said(rendered: Rendered) -> list[tuple[int, str]]:
    return [(span.message, rendered.text[span.start : span.end]) for span in rendered.spans]


def random_chat(rng: random.Random) -> list[dict[str, Any]]:
    words = [
        "",
        " ",
        "hello",
        "你好，世界",
        "two\n\nlines\n",
        "<|im_end|>",
        "<|im_start|>assistant\n",
        "\ufdd0",
        "\ufdd1\ufdd0",
    ]
    chat = []
    for _ in range(rng.randint(1, 8)):
        content = "".join(rng.choices(words, k=3))
        message = {"role": rng.choice(["user", "assistant", "assistant", "tool"]), "content": content}
        if message["role"] == "assistant" and rng.random() < 0.3:
            message["tool_calls"] = [{"function": {"name": "add", "arguments": {"a": rng.random()}}}]
        chat.append(message)
    return chat


@pytest.mark.parametrize("jinja", [MARKED, PLAIN], ids=["marked", "plain"])
def test_spans_hold_the_answer_and_its_stop_string(jinja: str) -> None:
    rendered = chatml(jinja).render(CHAT)
    assert rendered.text == (
        "<|im_start|>system\nBe brief.<|im_end|>\n<|im_start|>user\n你好?<|im_end|>\n"
        "<|im_start|>assistant\n你好!<|im_end|>\n<|im_start|>user\nBye?<|im_end|>\n"
        "<|im_start|>assistant\nBye.<|im_end|>\n"
    )
    assert said(rendered) == [(2, "你好!<|im_end|>"), (4, "Bye.<|im_end|>")]


def test_search_agrees_with_marks_on_any_content() -> None:
    """Also where the content is made of the template's own markers, or of the characters that mark spans."""
    rng = random.Random(0)
    for _ in range(300):
        chat = random_chat(rng)
        assert chatml(PLAIN).render(chat) == chatml(MARKED).render(chat), chat


def test_marks_agree_with_transformers(tiny_bpe: Any) -> None:
    rng = random.Random(1)
    for _ in range(50):
        chat = random_chat(rng)
        theirs = tiny_bpe.apply_chat_template(
            copy.deepcopy(chat),
            chat_template=MARKED,
            tokenize=True,
            return_dict=True,
            return_assistant_tokens_mask=True,
        )
        trained = [token for token, mask in zip(theirs["input_ids"], theirs["assistant_masks"], strict=True) if mask]
        assert "".join(text for _, text in said(chatml().render(chat))) == tiny_bpe.decode(trained)


def test_spaces_around_an_answer_without_generation_prompt() -> None:
    template = ChatTemplate("instruct", INSTRUCT, ("</s>",))
    rendered = template.render([{"role": "user", "content": "a"}, {"role": "assistant", "content": "b"}] * 2)
    assert rendered.text == "<s>[INST] a [/INST] b </s>" * 2
    assert said(rendered) == [(1, " b </s>"), (3, " b </s>")]


def test_white_space_of_an_answer_without_stop_string_is_trained() -> None:
    jinja = (
        "{%- for message in messages %}{{- '### ' ~ message.role ~ ':\\n' ~ message.content ~ '\\n\\n' }}{%- endfor %}"
    )
    jinja += "{%- if add_generation_prompt %}{{- '### assistant:\\n' }}{%- endif %}"
    assert said(ChatTemplate("plain", jinja, ()).render(CHAT[1:3])) == [(1, "你好!\n\n")]


def test_template_that_rewrites_earlier_turns(caplog: pytest.LogCaptureFixture) -> None:
    chat = [
        {"role": "user", "content": "1?"},
        {"role": "assistant", "content": "one", "reasoning": "easy"},
        {"role": "user", "content": "2?"},
        {"role": "assistant", "content": "two", "reasoning": "hard"},
    ]
    spans._note_rewriting.cache_clear()
    with caplog.at_level(logging.INFO, "tunesmith"):
        for _ in range(3):
            rendered = chatml(REWRITING).render(chat)
    assert said(rendered) == [(1, "one<|im_end|>"), (3, "hard</think>two<|im_end|>")]
    assert len(caplog.records) == 1 and "as it stands in the whole conversation" in caplog.text


def test_stop_string_behind_a_space_where_earlier_turns_are_rewritten() -> None:
    template = ChatTemplate("spaced", REWRITING.replace("'<|im_end|>\\n'", "' </s>\\n'"), ("</s>",))
    assert template.jinja != REWRITING
    assert said(template.render(CHAT[1:])) == [(1, "你好! </s>"), (3, "</think>Bye. </s>")]


def test_documents_are_none_as_in_transformers(tiny_bpe: Any) -> None:
    jinja = "{{- 'documents' if documents is not none else 'no documents' }}"
    theirs = tiny_bpe.apply_chat_template(list(CHAT), chat_template=jinja, tokenize=False)
    assert chatml(jinja).render(CHAT).text == theirs == "no documents"


def test_template_that_refuses_the_beginning_of_a_conversation() -> None:
    """It needs a user message somewhere, so nothing can be rendered before the first answer."""
    needs_user = (
        "{{- raise_exception('no user') if not messages | selectattr('role', 'equalto', 'user') | list else '' }}"
    )
    chat = [{"role": "assistant", "content": "Hi!"}, *CHAT[1:3]]
    assert said(chatml(needs_user + PLAIN).render(chat)) == [(0, "Hi!<|im_end|>"), (2, "你好!<|im_end|>")]


def test_turns_that_cannot_be_found_are_left_out_and_it_is_said_once(caplog: pytest.LogCaptureFixture) -> None:
    """A template that writes only the last answer."""
    jinja = PLAIN.replace("in messages", "in messages if message.role != 'assistant' or message == messages[-1]")
    spans._warn_untrained.cache_clear()
    for _ in range(3):
        rendered = chatml(jinja).render(CHAT)
    assert said(rendered) == [(4, "Bye.<|im_end|>")]
    assert [record.levelname for record in caplog.records] == ["WARNING"]
    assert "template=qwen3" in caplog.text


def test_a_prompt_of_a_template_without_marks_has_no_spans() -> None:
    rendered = chatml(PLAIN).render(CHAT[:4], add_generation_prompt=True)
    assert rendered.text.endswith("<|im_start|>assistant\n") and rendered.spans == ()


def test_several_marks_per_message() -> None:
    jinja = MARKED.replace("{{- message.content }}", "{{- message.content }}{%- endgeneration %}{%- generation %}", 1)
    assert said(chatml(jinja).render(CHAT[:3])) == [(2, "你好!"), (2, "<|im_end|>")]


def test_white_space_behind_the_stop_string_is_not_trained_even_if_marked() -> None:
    jinja = MARKED.replace("'<|im_end|>' }}{%- endgeneration", "'<|im_end|>\\n' }}{%- endgeneration")
    assert jinja != MARKED and said(chatml(jinja).render(CHAT[:3])) == [(2, "你好!<|im_end|>")]


def test_marks_around_the_users_words_are_an_error() -> None:
    jinja = (
        "{%- for message in messages %}{%- generation %}{{- message.content ~ '|' }}{%- endgeneration %}{%- endfor %}"
    )
    with pytest.raises(DataError, match="no assistant message"):
        ChatTemplate("wrong", jinja, ("|",)).render(CHAT)


@pytest.mark.parametrize("jinja", [MARKED, PLAIN], ids=["marked", "plain"])
def test_continue_final_message(jinja: str, tiny_bpe: Any) -> None:
    chat = [*CHAT[:4], {"role": "assistant", "content": "Bye, and <|im_end|> is no"}]
    rendered = chatml(jinja).render(chat, continue_final_message=True)
    theirs = tiny_bpe.apply_chat_template(
        copy.deepcopy(chat), chat_template=PLAIN, tokenize=False, continue_final_message=True
    )
    assert rendered.text == theirs
    assert said(rendered)[-1] == (4, "Bye, and <|im_end|> is no")
    with pytest.raises(DataError, match="ends with the assistant"):
        chatml(jinja).render(chat[:-1], continue_final_message=True)


def test_exported_renders_the_same_in_transformers(tiny_bpe: Any) -> None:
    """Without being given the variables and the default system message: they travel inside the Jinja."""
    text = 'She said "你好 😀"\n{{ bos_token }} {% if %} %} \\n'
    jinja = "{{- bos_token }}{{- greeting ~ (1 if switch is false else 0) }}" + MARKED
    template = chatml(jinja, greeting=text, switch=False).with_default_system(text).bind(tiny_bpe)
    assert "generation" not in re.sub("add_generation_prompt", "", template.exported)
    for chat in (CHAT, CHAT[1:], CHAT[1:4]):
        for prompt in (False, True):
            ours = template.render(chat, add_generation_prompt=prompt).text
            theirs = tiny_bpe.apply_chat_template(
                list(chat), chat_template=template.exported, tokenize=False, add_generation_prompt=prompt
            )
            assert ours == theirs
    overridden = tiny_bpe.apply_chat_template(
        list(CHAT), chat_template=template.exported, tokenize=False, greeting="Hello", switch=True
    )
    assert overridden.startswith("<s>Hello0<|im_start|>system\nBe brief.")


def test_default_system_message() -> None:
    template = chatml().with_default_system("Speak up.")
    assert template.render(CHAT[1:3]).text.startswith("<|im_start|>system\nSpeak up.<|im_end|>\n<|im_start|>user")
    assert template.render(CHAT) == chatml().render(CHAT)
    assert [span.message for span in template.render(CHAT[1:3]).spans] == [1]
    assert chatml().with_default_system(None) == chatml()


@pytest.mark.parametrize(
    ("end", "stop"),
    [("<|im_end|>\n", "<|im_end|>"), (" </s>", "</s>"), ("<|end|>\n<|endoftext|>", "<|end|>"), ("\n\n", None)],
)
def test_find_stop(end: str, stop: str | None) -> None:
    jinja = f"{{%- for message in messages %}}{{{{- message.role ~ ': ' ~ message.content ~ {end!r} }}}}{{%- endfor %}}"
    assert find_stop(jinja, {}) == stop


def test_find_stop_of_a_template_that_refuses() -> None:
    assert find_stop("{{ raise_exception('no') }}", {}) is None


def test_messages_are_put_into_the_form_that_templates_read() -> None:
    jinja = "{{- messages | tojson }}"
    call = {"type": "function", "function": {"name": "add", "arguments": '{"b": 2, "a": 1}'}}
    chat = [
        {"role": "user", "content": [{"type": "text", "text": "1 + "}, {"type": "text", "text": "2?"}]},
        {"role": "assistant", "content": None, "tool_calls": [call], "reasoning": "I add."},
        {"role": "assistant", "content": "3", "tool_calls": None},
    ]
    before = copy.deepcopy(chat)
    user, asking, answer = json.loads(ChatTemplate("json", jinja, ()).render(chat).text)
    assert chat == before
    assert user["content"] == "1 + 2?"
    assert asking["tool_calls"][0]["function"]["arguments"] == {"b": 2, "a": 1}
    assert asking["content"] == ""
    assert asking["reasoning_content"] == asking["thinking"] == "I add."
    assert answer == {"role": "assistant", "content": "3"}


def test_templates_that_read_parts_get_them() -> None:
    jinja = "{%- for part in messages[0]['content'] %}{{- part.type }};{%- endfor %}"
    chat = [{"role": "user", "content": [{"type": "image"}, {"type": "text", "text": "What?"}]}]
    assert ChatTemplate("vision", jinja, ()).render(chat).text == "image;text;"
    assert ChatTemplate("vision", jinja, ()).render(CHAT).text == "text;"
    either = "{%- if messages[0].content is string %}{{- messages[0].content }}{%- else %}" + jinja + "{%- endif %}"
    assert ChatTemplate("either", either, ()).render(CHAT).text == "Be brief."
    assert ChatTemplate("either", either, ()).render(chat).text == "image;text;"
    with pytest.raises(DataError, match="text only, and a message holds image"):
        chatml().render(chat)


def test_results_and_system_messages_in_parts_of_text_are_one_text() -> None:
    """Templates that tell parts from text would write a list of them as data; pictures stay where they are."""
    jinja = "{%- for m in messages %}{{ m.content if m.content is string else m.content | tojson }};{%- endfor %}"
    jinja += "{# for part in m.content #}"
    parts = [{"type": "text", "text": "{1"}, {"type": "text", "text": "}"}]
    picture = [*parts, {"type": "image"}]
    chat = [
        {"role": "system", "content": parts},
        {"role": "tool", "content": parts},
        {"role": "tool", "content": picture},
    ]
    written = "{1};{1};" + json.dumps(picture) + ";"
    assert ChatTemplate("t", jinja, ()).render(chat).text == written
    first = "{%- for m in messages %}{{ m.content[0].text }};{%- endfor %}"
    assert ChatTemplate("t", first, ()).render(chat[:2]).text == "{1};{1};"


def test_a_thought_is_written_into_the_text_that_content_in_parts_begins_with() -> None:
    """Templates that trim each part would take away what stands between the two."""
    jinja = (
        "{%- for m in messages %}{%- if m.content is string %}{{ m.content | trim }}{%- else %}"
        "{%- for part in m.content %}{{ part.text | trim if part.type == 'text' else '<image>' }}{%- endfor %}"
        "{%- endif %}{%- endfor %}"
    )
    template = ChatTemplate("t", jinja, ()).with_written_thoughts()
    text, picture = {"type": "text", "text": "Yes."}, {"type": "image"}
    for content, said in (("Yes.", "Yes."), ([text], "Yes."), ([picture, text], "<image>Yes.")):
        written = template.render([{"role": "assistant", "content": content, "reasoning": "Hm."}]).text
        assert written == "<think>\nHm.\n</think>" + ("" if content == [picture, text] else "\n\n") + said


@pytest.mark.parametrize(
    ("jinja", "chat", "message"),
    [
        ("{{- raise_exception('only users') }}", CHAT, "template test cannot render this conversation: only users"),
        ("{{- messages[0].nothing.more }}", CHAT, "has no attribute 'nothing'"),
        ("{{- 'a' + messages[0] }}", CHAT, "cannot render"),
        ("{% if %}", CHAT, "line 1 of the chat template is not Jinja"),
        (MARKED, [{"from": "human", "value": "Hi"}], "a message has no role; it has: from, value"),
    ],
)
def test_refusals_are_data_errors(jinja: str, chat: Any, message: str) -> None:
    with pytest.raises(DataError, match=re.escape(message)):
        chatml(jinja).render(chat)


def test_variables_of_none_are_left_to_the_template() -> None:
    template = chatml("{{- switch | default('own') }}", other=1).with_variables(switch=None)
    assert template.render(CHAT).text == "own" and template.variables == {"other": 1}
    assert template.with_variables(switch=False).render(CHAT).text == "False"


def test_bind_takes_the_tokenizers_special_tokens(tiny_bpe: Any) -> None:
    class Processor:
        pass

    processor = Processor()
    processor.tokenizer = tiny_bpe  # type: ignore[attr-defined]
    for given in (tiny_bpe, processor):
        assert chatml("{{- bos_token ~ eos_token ~ pad_token }}").bind(given).render(CHAT).text == "<s></s><pad>"
        assert chatml("{{- bos_token }}", bos_token="<mine>").bind(given).render(CHAT).text == "<mine>"
