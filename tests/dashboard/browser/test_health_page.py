"""Health, mounted into an application: of which processes the counts are."""

from __future__ import annotations

from pathlib import Path

import pytest

from chest import Recorder
from chest.chests.memory import MemoryChest
from chest.dashboard import ChestPage
from tests.dashboard.browser.conftest import Opens
from tests.dashboard.browser.person import serving


@pytest.mark.parametrize("metrics", [False, True])
def test_it_says_of_which_processes_the_counts_are(metrics: bool, tmp_path: Path, opens: Opens) -> None:
    with Recorder([MemoryChest()], directory=tmp_path / "rings", service="shop", metrics=metrics) as recorder:
        page = ChestPage(allow="everybody").of(recorder)
        with serving(page) as url:
            person = opens(f"{url}health")
            person.see("#health h3", "The recorder of this process")
            assert person.find("#health .trouble").count() == 0, "that nothing was recorded yet is no error"
            assert person.find("#health .hint", "Only this process").count() == (not metrics)
            assert person.find("#health h3", "All processes of the application").count() == metrics
            person.picture(f"health-recorder-{'with' if metrics else 'without'}-metrics", full_page=True)
