"""What happens in runs, for those who watch: curves, progress, logs, warnings, samples, the machine."""
