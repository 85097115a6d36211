"""The costs and limits of this package, each beside a baseline from the same run. The benchmarks assert nothing."""
