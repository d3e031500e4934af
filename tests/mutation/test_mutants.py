"""The table of mutants fits the sources: each text to replace occurs exactly once."""

import collections

import mutants
import pytest
import run


@pytest.mark.parametrize("mutant", mutants.MUTANTS, ids=lambda m: m.name)
def test_fits(mutant):
    assert run.fault_of(mutant) is None
    assert mutant.what and mutant.tests


def test_names_are_unique():
    names = collections.Counter(m.name for m in mutants.MUTANTS)
    assert len(names) == len(mutants.MUTANTS) >= 24
