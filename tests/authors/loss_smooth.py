"""Label smoothing (Szegedy et al. 2016, arXiv 1512.00567, section 7): `loss=smooth.py:Smooth`."""

from typing import Annotated, Any

from tunesmith import hookimpl, plugin
from tunesmith.ranges import between
from tunesmith.types import Batch, LossOutput
from tunesmith_library_training.token_loss_plugin import TokenLossPlugin


@plugin
class Smooth(TokenLossPlugin):
    """Cross entropy with a target of which a part is spread evenly over the vocabulary."""

    share: Annotated[float, between(0, 1)] = 0.1  # of the target that is spread, 0 to 1

    @hookimpl
    def compute_loss(self, model: Any, batch: Batch) -> LossOutput:
        from torch.nn.functional import cross_entropy
        from tunesmith_library_training.token_loss import token_loss

        def smoothed(logits: Any, labels: Any) -> Any:  # (K, V) and (K,) -> (K,)
            return cross_entropy(logits, labels, reduction="none", label_smoothing=self.share)

        return token_loss(model, batch, smoothed, self._chunk_size)
