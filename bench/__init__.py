"""Benchmarks: what the daemon does beside what the machine can do, as ratios within one run."""
