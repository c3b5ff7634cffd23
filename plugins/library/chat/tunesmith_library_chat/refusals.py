"""What many templates say, in Jinja, of a conversation that they refuse: for catalogues of other languages."""

from __future__ import annotations

MESSAGES = (
    "{model} was not trained with tools; use {others}",
    "{model} was not trained to call tools; use {others}",
    "the published format of {model} has no tools; use {others}",
    "the form in which {model} reads tools is not known; use {others}",
    "the form of its tools is not known here; use {others}",
    "{model} has no place for a system message; write it into the first user message",
    "{model} has no place for a system message; put it into the first user message",
    "{model} has user and assistant turns only, in alternation",
    "{model} has user and assistant turns only, in alternation, after at most one system message",
    "{model} has user and assistant turns only, in alternation; a system message has a place in {template}",
    "{model} has a system message at the beginning only, and no role {role}",
    "{model} reads its tools in the first user turn, and this conversation begins with role {role}",
    "{model} calls one tool per turn, and a message has {count} calls",
    "{model} knows no role {role}",
    "{model} reads no {kind}",
    "a message of the role {role} has no place here in this format",
)
