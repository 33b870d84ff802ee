"""``python -m benchmarks``: every benchmark, one after the other."""

from __future__ import annotations

from benchmarks import bench_middleware

for benchmark in (bench_middleware,):
    print(f"\n{(benchmark.__doc__ or '').splitlines()[0]}\n")
    benchmark.main()
