"""Curves of runs: what they logged (`reading`), which of it is shown where (`panels`), and pictures (`drawing`)."""
