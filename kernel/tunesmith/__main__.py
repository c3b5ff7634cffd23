"""`python -m tunesmith`, for launchers such as torchrun: `torchrun --nproc-per-node 2 -m tunesmith train x.yaml`."""

from tunesmith.cli import main

main()
