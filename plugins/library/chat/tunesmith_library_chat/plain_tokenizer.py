"""A tokenizer of single bytes with special tokens, with the interface of transformers' that templates use, and without
transformers: a template is tried in milliseconds."""

from __future__ import annotations

import re
from collections.abc import Iterable, Sequence
from dataclasses import dataclass
from typing import Any

_SPECIAL = re.compile(
    r"<[|｜][^<>|｜\s']*[|｜]>|<[|｜][\w▁]+>|<[\w▁]+[|｜]>|\[/?[A-Z_]{3,}\]|</?s>|<(?:bos|eos|pad)>|<(?:start|end)_of_turn>"
)


class PlainTokenizer:
    """Bytes are tokens, and so are the special tokens.

    Args:
        special_tokens: beside those of the keyword arguments.
        tokens: `bos_token`, `eos_token`, `pad_token`, `unk_token`.
    """

    chat_template: Any = None

    def __init__(self, special_tokens: Iterable[str] = (), **tokens: str | None) -> None:
        from tokenizers import AddedToken, Tokenizer, decoders, models, pre_tokenizers

        alphabet = sorted(pre_tokenizers.ByteLevel.alphabet())
        self.backend_tokenizer = Tokenizer(models.BPE({character: i for i, character in enumerate(alphabet)}, []))
        self.backend_tokenizer.pre_tokenizer = pre_tokenizers.ByteLevel(add_prefix_space=False)
        self.backend_tokenizer.decoder = decoders.ByteLevel()
        for name in ("bos_token", "eos_token", "pad_token", "unk_token"):
            setattr(self, name, tokens.get(name))
        self.all_special_tokens = list(dict.fromkeys([*filter(None, tokens.values()), *special_tokens]))
        added = [AddedToken(token, special=True, normalized=False) for token in self.all_special_tokens]
        self.backend_tokenizer.add_special_tokens(added)
        self.all_special_ids = [self.backend_tokenizer.token_to_id(token) for token in self.all_special_tokens]
        self.added_tokens_decoder = dict(zip(self.all_special_ids, added, strict=True))

    @property
    def eos_token_id(self) -> int | None:
        eos: str | None = getattr(self, "eos_token", None)
        return None if eos is None else self.backend_tokenizer.token_to_id(eos)

    def __len__(self) -> int:
        return int(self.backend_tokenizer.get_vocab_size())

    def __call__(self, texts: Sequence[str], add_special_tokens: bool = True, **_: Any) -> Any:
        encodings = self.backend_tokenizer.encode_batch(list(texts), add_special_tokens=add_special_tokens)
        return _Encodings(encodings)

    def encode(self, text: str, add_special_tokens: bool = True) -> list[int]:
        return list(self.backend_tokenizer.encode(text, add_special_tokens=add_special_tokens).ids)

    def decode(self, ids: Sequence[int], skip_special_tokens: bool = False, **_: Any) -> str:
        return str(self.backend_tokenizer.decode(list(ids), skip_special_tokens=skip_special_tokens))


@dataclass(frozen=True)
class _Encodings:
    encodings: list[Any]


def special_tokens_in(*texts: str) -> list[str]:
    """What looks like a special token in a template's Jinja."""
    return sorted({match[0] for text in texts for match in _SPECIAL.finditer(text)})
