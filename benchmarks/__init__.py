"""What the receiver costs, measured beside what it is compared with. Run `make bench`; see docs/benchmarks.md."""
