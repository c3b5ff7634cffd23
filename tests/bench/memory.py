"""Peak memory of a loss over a large vocabulary: all logits at once, in chunks by autograd, and in one pass."""

import resource
import subprocess
import sys

VOCABULARY, HIDDEN, TOKENS = 128_256, 1024, 4096


def measure(form: str) -> None:
    """Print the peak resident memory that forward and backward add, in MiB, and the loss."""
    import torch
    import torch.nn.functional as F

    torch.manual_seed(0)
    weight = torch.empty(VOCABULARY, HIDDEN).normal_(std=0.02)  # in place: its making is not to be the peak
    hidden = torch.randn(TOKENS, HIDDEN, requires_grad=True)
    labels = torch.randint(0, VOCABULARY, (TOKENS,))
    before = resource.getrusage(resource.RUSAGE_SELF).ru_maxrss
    if form == "plain":
        loss = F.cross_entropy(F.linear(hidden, weight).float(), labels, reduction="sum")
    elif form == "one pass":
        from tunesmith_library_training.head import PostProcessing
        from tunesmith_library_training.linear_cross_entropy import summed_cross_entropy

        layer = torch.nn.Linear(1, 1, bias=False)
        layer.weight = torch.nn.Parameter(weight, requires_grad=False)
        loss, _ = summed_cross_entropy(hidden, layer, PostProcessing(), labels, torch.ones(TOKENS))
    else:
        from tunesmith_library_training.head import chunked_sum

        def loss_of_chunk(chunk: torch.Tensor, rows: slice) -> torch.Tensor:
            return F.cross_entropy(F.linear(chunk, weight).float(), labels[rows], reduction="sum")

        loss = chunked_sum(loss_of_chunk, hidden, [], 256)
    loss.backward()
    added = (resource.getrusage(resource.RUSAGE_SELF).ru_maxrss - before) / 1024
    assert hidden.grad is not None
    print(f"{added:10,.0f} MiB   loss {loss.item() / TOKENS:.4f}, gradient norm {hidden.grad.norm().item():.4f}")


def main() -> None:
    print(f"peak memory of the loss: V = {VOCABULARY:,}, {TOKENS:,} trained tokens, hidden {HIDDEN}, fp32, frozen head")
    for form in ("plain", "chunked", "one pass"):
        done = subprocess.run([sys.executable, __file__, form], capture_output=True, text=True, check=True)
        print(f"  {form:10} {done.stdout.strip()}")
    print()


if __name__ == "__main__":
    if len(sys.argv) > 1:
        measure(sys.argv[1])
    else:
        main()
