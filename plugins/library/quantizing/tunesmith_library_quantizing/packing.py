"""Whole numbers of 2, 3, 4 or 8 bits in words of 32, in the two orders that stored models use.

GPTQ's order is one stream of bits down a column: 32 numbers of b bits fill b words, the first number in the lowest
bits (a number of 3 bits may lie across two words). AWQ's has 8 numbers of 4 bits per word, side by side in a row, in
the order in which its CUDA kernel takes them out.
"""

from __future__ import annotations

import torch

_WORD = 32
_AWQ_COLUMNS = (0, 2, 4, 6, 1, 3, 5, 7)  # the column in each half byte of a word, from the lowest


def pack(numbers: torch.Tensor, bits: int) -> torch.Tensor:
    """Put numbers (N, C) of `bits` bits into words (N · bits / 32, C), int32; N is a multiple of 32."""
    rows, columns = numbers.shape
    blocks = numbers.reshape(rows // _WORD, _WORD, columns)
    words = torch.zeros(rows // _WORD, bits, columns, dtype=torch.int64, device=numbers.device)
    for index in range(_WORD):
        word, shift = divmod(index * bits, _WORD)
        number = blocks[:, index].long()
        words[:, word] |= (number << shift) & 0xFFFFFFFF
        if shift + bits > _WORD:
            words[:, word + 1] |= number >> (_WORD - shift)
    return _as_int32(words).reshape(-1, columns)


def unpack(words: torch.Tensor, bits: int) -> torch.Tensor:
    """Take numbers (N, C) of `bits` bits out of words (N · bits / 32, C); int32."""
    columns = words.shape[1]
    if _WORD % bits == 0:
        shifts = torch.arange(0, _WORD, bits, dtype=torch.int32, device=words.device)
        numbers = words[:, None, :] >> shifts[None, :, None]
        return numbers.bitwise_and_(2**bits - 1).reshape(-1, columns)
    positions = torch.arange(_WORD, device=words.device) * bits
    first, shifts = positions // _WORD, (positions % _WORD)[None, :, None]
    blocks = words.reshape(-1, bits, columns).long() & 0xFFFFFFFF
    following = blocks[:, (first + 1).clamp(max=bits - 1)]
    numbers = (blocks[:, first] >> shifts) | (following << (_WORD - shifts))
    return numbers.bitwise_and_(2**bits - 1).int().reshape(-1, columns)


def pack_awq(numbers: torch.Tensor) -> torch.Tensor:
    """Put 4-bit numbers (N, C) into words (N, C / 8), int32; C is a multiple of 8."""
    rows, columns = numbers.shape
    eights = numbers.reshape(rows, columns // 8, 8)
    words = torch.zeros(rows, columns // 8, dtype=torch.int64, device=numbers.device)
    for place, column in enumerate(_AWQ_COLUMNS):
        words |= eights[:, :, column].long() << (4 * place)
    return _as_int32(words)


def unpack_awq(words: torch.Tensor) -> torch.Tensor:
    """Take 4-bit numbers (N, C) out of words (N, C / 8); int32."""
    rows, columns = words.shape
    numbers = torch.empty(rows, columns, 8, dtype=torch.int32, device=words.device)
    for place, column in enumerate(_AWQ_COLUMNS):
        numbers[:, :, column] = (words >> (4 * place)) & 15
    return numbers.reshape(rows, columns * 8)


def _as_int32(words: torch.Tensor) -> torch.Tensor:
    """The same 32 bits with a sign."""
    return torch.where(words >= 2**31, words - 2**32, words).int()
