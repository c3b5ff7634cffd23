"""An exporter: the bare weights, in one file that any safetensors reader opens."""

from copy import deepcopy
from pathlib import Path
from typing import Any, Literal

from tunesmith import hookimpl, plugin
from tunesmith.files import replacing
from tunesmith.types import ModelHandle


@plugin
class Placeholder:
    """Write the weights, the adapter folded in, as `model.safetensors`."""

    dtype: Literal["float32", "bfloat16", "float16"] = "bfloat16"  # of the written weights

    @hookimpl
    def export(self, handle: ModelHandle, output_dir: Path) -> Path:
        import torch
        from safetensors.torch import save_model

        model: Any = deepcopy(handle.merge(handle.load()))  # other exporters read it, too
        model = model.to(getattr(torch, self.dtype))
        with replacing(output_dir) as draft:
            draft.mkdir()
            save_model(model, str(draft / "model.safetensors"))
        return output_dir / "model.safetensors"
