"""Questions and answers: which route is slowest, what is different about the slow ones; of any chest that can be read.

>>> from chest.query import top
>>> for row in top("sqlite:///chest.sqlite3", "since=1d", by="route").rows:
...     print(row.group, row.requests, row.p95_ns)
"""

from __future__ import annotations

from typing import TYPE_CHECKING, Final

from chest.system.lazy import loaded_on_use

if TYPE_CHECKING:
    from chest.chests.asking.conditions import Condition, Name
    from chest.chests.asking.cube import Basis, Cell, Cube, Group, Sample, Step
    from chest.errors import FilterError, RecordNotFound
    from chest.query.answer import Answer
    from chest.query.comparison import Compared, compare
    from chest.query.difference import Difference, ValueShare
    from chest.query.distribution import TopValue, Values, ValuesRow, values
    from chest.query.language import narrowed, parse
    from chest.query.names import label_of, name_of
    from chest.query.nearby import Neighbours, neighbours
    from chest.query.novelty import News, NewValue, ReleaseMark, news
    from chest.query.question import Filter, Source
    from chest.query.ranking import SORTS, Top, TopRow, top
    from chest.query.timeline import Band, Heatmap, OverTime, TimeRow, heatmap, over_time

__all__ = [
    "SORTS",
    "Answer",
    "Band",
    "Basis",
    "Cell",
    "Compared",
    "Condition",
    "Cube",
    "Difference",
    "Filter",
    "FilterError",
    "Group",
    "Heatmap",
    "Name",
    "Neighbours",
    "NewValue",
    "News",
    "OverTime",
    "RecordNotFound",
    "ReleaseMark",
    "Sample",
    "Source",
    "Step",
    "TimeRow",
    "Top",
    "TopRow",
    "TopValue",
    "ValueShare",
    "Values",
    "ValuesRow",
    "compare",
    "heatmap",
    "label_of",
    "name_of",
    "narrowed",
    "neighbours",
    "news",
    "over_time",
    "parse",
    "top",
    "values",
]

_HOMES: Final = {
    **dict.fromkeys(("Condition", "Name"), "chest.chests.asking.conditions"),
    **dict.fromkeys(("Basis", "Cell", "Cube", "Group", "Sample", "Step"), "chest.chests.asking.cube"),
    **dict.fromkeys(("FilterError", "RecordNotFound"), "chest.errors"),
    **dict.fromkeys(("News", "NewValue", "ReleaseMark", "news"), "chest.query.novelty"),
    **dict.fromkeys(("Neighbours", "neighbours"), "chest.query.nearby"),
    "Answer": "chest.query.answer",
    **dict.fromkeys(("Compared", "compare"), "chest.query.comparison"),
    **dict.fromkeys(("Difference", "ValueShare"), "chest.query.difference"),
    **dict.fromkeys(("narrowed", "parse"), "chest.query.language"),
    **dict.fromkeys(("label_of", "name_of"), "chest.query.names"),
    **dict.fromkeys(("Band", "Heatmap", "OverTime", "TimeRow", "heatmap", "over_time"), "chest.query.timeline"),
    **dict.fromkeys(("Filter", "Source"), "chest.query.question"),
    **dict.fromkeys(("SORTS", "Top", "TopRow", "top"), "chest.query.ranking"),
    **dict.fromkeys(("TopValue", "Values", "ValuesRow", "values"), "chest.query.distribution"),
}

if not TYPE_CHECKING:
    __getattr__ = loaded_on_use(__name__, _HOMES)
