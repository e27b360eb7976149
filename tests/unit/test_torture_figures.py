"""Figures of a torture run."""

from torture.figures import percentile, resumes
from torture.history import History, Link, SessionLog


def test_resumes_are_told_apart_by_where_the_session_was():
    links = [
        Link(0.0, "gateway.1", live=0.1),
        Link(1.0, "gateway.2"),  # given up
        Link(2.0, "gateway.1", live=2.25),
        Link(3.0, "gateway.2", live=3.5),
        Link(4.0, "", live=4.1),  # the public address: any node
        Link(5.0, "gateway.2", live=5.1),
    ]
    history = History()
    history.began(SessionLog("anna", 1, links=links))
    assert resumes(history) == ([0.25], [0.5])


def test_percentiles():
    values = [float(value) for value in range(1, 101)]
    assert (percentile(values, 50), percentile(values, 99)) == (51.0, 100.0)
    assert percentile([7.0], 99) == 7.0
    assert percentile([], 50) == 0.0
