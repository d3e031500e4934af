"""What a deliberate bug is, and the tests that are named most."""

import dataclasses

STAGES = ("stages_test", "")
ALONE = ("engine_golden_test", "alone: *")
BATCHED = ("engine_golden_test", "batched *")
CHUNKED = ("engine_golden_test", "prefilled in chunks *")
CORE = ("core_test", "")
SAMPLER = ("sampler_test", "")
DISTRIBUTION = ("token_distribution_test", "")
KERNELS = ("kernels_test", "")


@dataclasses.dataclass(frozen=True)
class Mutant:
    name: str
    what: str
    path: str
    old: str
    new: str
    tests: tuple


def mutants_in(path, tests, *rows):
    return [Mutant(name, what, path, old, new, tests) for name, what, old, new in rows]
