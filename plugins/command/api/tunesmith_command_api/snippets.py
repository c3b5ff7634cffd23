"""Client code for a server: what to paste to ask it a first question."""

from __future__ import annotations

import json
import shlex

LANGUAGES = ("python", "curl", "javascript", "langchain")

_QUESTION = "Who are you?"

_PYTHON = """\
# pip install openai
import os

from openai import OpenAI

client = OpenAI(base_url={url}, api_key={key})
chunks = client.chat.completions.create(
    model={model},
    messages=[{{"role": "user", "content": {question}}}],
    stream=True,
)
for chunk in chunks:
    print(chunk.choices[0].delta.content or "", end="", flush=True)
print()
"""

_LANGCHAIN = """\
# pip install langchain-openai
import os

from langchain_openai import ChatOpenAI

model = ChatOpenAI(model={model}, base_url={url}, api_key={key})
for chunk in model.stream({question}):
    print(chunk.content, end="", flush=True)
print()
"""

_JAVASCRIPT = """\
// node ask.mjs, or in a page whose address --allow-origin names
const key = globalThis.process?.env.{key_name} ?? "none";
const response = await fetch({url} + "/chat/completions", {{
  method: "POST",
  headers: {{ "Content-Type": "application/json", Authorization: `Bearer ${{key}}` }},
  body: JSON.stringify({{
    model: {model},
    messages: [{{ role: "user", content: {question} }}],
  }}),
}});
if (!response.ok) throw new Error(await response.text());
const {{ choices }} = await response.json();
console.log(choices[0].message.content);
"""

_CURL = """\
curl --fail-with-body --no-buffer {url} \\
  -H 'Content-Type: application/json' \\
  -H "Authorization: Bearer ${key_name}" \\
  -d {body}
"""


def snippet(language: str, url: str, model: str, key_name: str | None = None) -> str:
    """Code that asks a server a question and writes the answer.

    Args:
        language: one of `LANGUAGES`.
        url: where the server listens, such as `http://127.0.0.1:8000`.
        model: its name.
        key_name: the variable of the environment that has the key; None where the server asks for none.
    """
    named = key_name or "API_KEY"
    if language == "curl":
        body = {"model": model, "messages": [{"role": "user", "content": _QUESTION}]}
        sent = shlex.quote(json.dumps(body, ensure_ascii=False))
        made = _CURL.format(url=shlex.quote(f"{url}/v1/chat/completions"), key_name=named, body=sent)
        return made if key_name else "".join(line for line in made.splitlines(True) if "Authorization" not in line)
    written = {
        "url": json.dumps(f"{url}/v1"),
        "model": json.dumps(model),
        "question": json.dumps(_QUESTION),
        "key": f'os.environ["{key_name}"]' if key_name else '"none"',
        "key_name": named,
    }
    made = {"python": _PYTHON, "langchain": _LANGCHAIN, "javascript": _JAVASCRIPT}[language].format(**written)
    return made if key_name else made.replace("import os\n\n", "", 1)
