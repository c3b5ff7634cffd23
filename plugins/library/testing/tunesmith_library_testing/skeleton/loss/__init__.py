"""Focal loss on tokens: those that the model is sure of weigh less (Lin et al. 2017, arXiv 1708.02002, eq. 4)."""

from typing import Annotated, Any, ClassVar

from tunesmith import hookimpl, plugin
from tunesmith.ranges import at_least
from tunesmith.types import Batch, LossOutput, model_inputs


@plugin
class Placeholder:
    """Cross entropy of each token, times (1 - its probability) ** gamma."""

    additive: ClassVar[bool] = True  # a batch's loss is the sum of what its examples would have alone

    # 0 is plain cross entropy; the larger, the less the sure tokens count
    gamma: Annotated[float, at_least(0, most=1_000_000)] = 2.0

    @hookimpl
    def compute_loss(self, model: Any, batch: Batch) -> LossOutput:
        from torch.nn.functional import cross_entropy

        logits = model(**model_inputs(batch), use_cache=False).logits[:, :-1].float()  # (B, T - 1, V)
        labels = batch["labels"][:, 1:]  # (B, T - 1)
        losses = cross_entropy(logits.flatten(0, 1), labels.flatten(), reduction="none")  # 0 where not trained
        focal = (1 - (-losses).exp()) ** self.gamma * losses
        return LossOutput(focal.sum(), batch["num_items"])
