"""The page of metrics: it runs, and leaves none out."""

import re
from pathlib import Path

from puredrop import uncertainty
from puredrop.uncertainty import metrics

PAGE = (Path(__file__).parent.parent / "docs" / "uncertainty.md").read_text()


def test_the_example_runs_as_written():
    (example,) = re.findall(r"```python\n(.*?)```", PAGE, flags=re.DOTALL)
    exec(example, {"__name__": "page"})


def test_every_metric_is_on_the_page():
    results = {name for name in metrics.__all__ if issubclass_of_tuple(getattr(uncertainty, name))}
    assert [name for name in metrics.__all__ if name not in results and f"`{name}`" not in PAGE] == []
    assert set(metrics.__all__) <= set(uncertainty.__all__)


def issubclass_of_tuple(thing):
    return isinstance(thing, type) and issubclass(thing, tuple)
