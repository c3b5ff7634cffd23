"""What libraries log when they are imported because they are installed, whether the run uses them or not."""

import logging

_CHATTERERS = ("torchao", "bitsandbytes", "torch.utils._pytree")


def silence() -> None:
    """Let them report errors only; to be called before transformers and peft import them."""
    for name in _CHATTERERS:
        logging.getLogger(name).setLevel(logging.ERROR)
