"""A patch: dropout on the embeddings while training (Gal & Ghahramani 2016, arXiv 1512.05287)."""

from collections.abc import Generator
from typing import Annotated, Any

from tunesmith import hookimpl, plugin
from tunesmith.ranges import Range


@plugin
class Placeholder:
    """Drop a share of the embedded values in training, as a regulariser."""

    p: Annotated[float, Range(0, 1, high_excluded=True)] = 0.1  # share of the values that are dropped

    @hookimpl(wrapper=True)
    def load_model(self) -> Generator[None, Any, Any]:
        model = yield  # whoever loads the model has loaded it
        from torch.nn.functional import dropout

        def drop(module: Any, inputs: Any, embedded: Any) -> Any:
            return dropout(embedded, self.p, module.training)

        model.get_input_embeddings().register_forward_hook(drop)
        return model
