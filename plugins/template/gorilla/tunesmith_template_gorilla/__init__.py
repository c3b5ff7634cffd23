"""The format of Gorilla OpenFunctions v2: instructions and responses; functions are written into the question."""

from tunesmith import plugin
from tunesmith_library_chat import FamilyTemplate, TemplateFacts


@plugin
class Gorilla(FamilyTemplate):
    """Gorilla OpenFunctions v2."""

    traits = TemplateFacts(
        name="gorilla",
        file="gorilla.jinja",
        models=(r"gorilla-openfunctions",),
        stop=("<|EOT|>",),
        default_system="You are an AI programming assistant, utilizing the Gorilla LLM model, …",
        source="gorilla-llm/gorilla-openfunctions-v2",
    )
