"""The templates of Gemma and PaliGemma against their official renderings."""

from tunesmith_library_chat.plain_tokenizer import PlainTokenizer
from tunesmith_library_testing import TemplateSuite
from tunesmith_template_gemma import (
    DiffusionGemma,
    FunctionGemma,
    Gemma,
    Gemma3,
    Gemma3n,
    Gemma4,
    Gemma431B,
    PaliGemma,
    PaliGemmaChat,
)


class TestGemma(TemplateSuite):
    plugin = Gemma


class TestGemma3(TemplateSuite):
    plugin = Gemma3


class TestGemma3n(TemplateSuite):
    plugin = Gemma3n


class TestPaliGemmaChat(TemplateSuite):
    plugin = PaliGemmaChat


class TestPaliGemma(TemplateSuite):
    plugin = PaliGemma


class TestGemma4(TemplateSuite):
    plugin = Gemma4


class TestFunctionGemma(TemplateSuite):
    plugin = FunctionGemma


class TestGemma431B(TemplateSuite):
    plugin = Gemma431B


class TestDiffusionGemma(TemplateSuite):
    plugin = DiffusionGemma


def test_functions_are_declared_as_google_shows_it() -> None:
    """The example of Google's guide to FunctionGemma, which has no published rendering of whole conversations."""
    location = {"type": "string", "description": "The city name, e.g. San Francisco"}
    parameters = {"type": "object", "properties": {"location": location}, "required": ["location"]}
    description = "Gets the current temperature for a given location."
    function = {"name": "get_current_temperature", "description": description, "parameters": parameters}
    call = {"type": "function", "function": {"name": "get_current_temperature", "arguments": {"location": "London"}}}
    messages = [
        {"role": "system", "content": "You are a model that can do function calling with the following functions"},
        {"role": "user", "content": "What's the temperature in London?"},
        {"role": "assistant", "content": "", "tool_calls": [call]},
    ]
    tokenizer = PlainTokenizer(bos_token="<bos>", eos_token="<end_of_turn>")
    template = FunctionGemma().chat_template(processor=tokenizer).bind(tokenizer)
    assert template.render(messages, [{"type": "function", "function": function}]).text == (
        "<bos><start_of_turn>developer\n"
        "You are a model that can do function calling with the following functions"
        "<start_function_declaration>declaration:get_current_temperature{"
        "description:<escape>Gets the current temperature for a given location.<escape>,"
        "parameters:{properties:{location:{description:<escape>The city name, e.g. San Francisco<escape>,"
        "type:<escape>STRING<escape>}},required:[<escape>location<escape>],type:<escape>OBJECT<escape>}}"
        "<end_function_declaration><end_of_turn>\n"
        "<start_of_turn>user\nWhat's the temperature in London?<end_of_turn>\n"
        "<start_of_turn>model\n"
        "<start_function_call>call:get_current_temperature{location:<escape>London<escape>}<end_function_call>"
        "<start_function_response>"
    )
