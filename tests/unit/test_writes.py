"""Both ways of writing to many sockets do the same."""

import socket
from array import array
from contextlib import ExitStack

import pytest

from gateway.delivery import io_uring
from gateway.delivery.io_uring import Uring, UringUnavailableError
from gateway.delivery.writing import fastest, one_by_one


def ring(entries):
    try:
        return Uring(entries)
    except UringUnavailableError as error:
        pytest.skip(f"no io_uring here: {error}")


@pytest.fixture(params=["one by one", "io_uring"])
def write(request):
    if request.param == "one by one":
        yield one_by_one
        return
    made = ring(8)
    yield made.write
    made.close()


@pytest.fixture
def pairs():
    """Sockets to write to, and their other ends."""
    with ExitStack() as stack:

        def make(count):
            made = [socket.socketpair() for _ in range(count)]
            for here, there in made:
                stack.enter_context(here)
                stack.enter_context(there)
                here.setblocking(False)
                there.setblocking(False)
            return made

        yield make


def fds(pairs):
    return array("i", [here.fileno() for here, _ in pairs])


@pytest.mark.parametrize("count", [0, 1, 5, 8, 9, 30])
def test_each_socket_gets_all_of_it_each_time(write, pairs, count):
    # Eight go into a call: so the ring goes round, at every place of it.
    made = pairs(count)
    for at in range(20):
        assert write(fds(made), b"%03d" % at) == []
    assert [there.recv(1000) for _, there in made] == [b"".join(b"%03d" % at for at in range(20))] * count


def test_who_takes_less_is_told_with_how_much(write, pairs):
    made = pairs(20)
    big = bytes(range(256)) * 8192
    short = dict(write(fds(made[3:5]), big))
    assert short.keys() == {made[3][0].fileno(), made[4][0].fileno()}
    for here, there in made[3:5]:
        taken = short[here.fileno()]
        assert there.recv(len(big)) == big[:taken]


def test_a_full_socket_does_not_keep_the_others(write, pairs):
    made = pairs(20)
    full = fds(made[7:8])
    while write(full, bytes(100_000)) != [(full[0], 0)]:
        pass
    assert write(fds(made), b"abc") == [(full[0], 0)]
    assert all(there.recv(10) == b"abc" for at, (_, there) in enumerate(made) if at != 7)


def test_those_that_fail_are_left_out(write, pairs):
    made = pairs(20)
    there = made[2][1]
    there.close()
    every = fds(made)
    every[11] = 1_000_000  # there is no such descriptor
    assert write(every, b"abc") == []
    assert all(there.recv(10) == b"abc" for at, (_, there) in enumerate(made) if at not in {2, 11})


def test_without_io_uring_each_socket_has_its_write(monkeypatch):
    def refused(*_):
        raise UringUnavailableError("not permitted")

    monkeypatch.setattr("gateway.delivery.writing.Uring", refused)
    assert fastest(io_uring=True) is one_by_one
    assert fastest(io_uring=False) is one_by_one


def test_many_go_by_io_uring(pairs, monkeypatch):
    ring(8).close()
    write, made = fastest(io_uring=True), pairs(200)
    by_ring, through = [], Uring.write
    monkeypatch.setattr(Uring, "write", lambda *args: by_ring.append(len(args[1])) or through(*args))
    assert write(fds(made), b"abc") == []
    assert by_ring == [200]
    assert all(there.recv(10) == b"abc" for _, there in made)


def test_a_kernel_that_refuses_says_why(monkeypatch):
    monkeypatch.setattr(io_uring, "_SETUP", 100_000)
    with pytest.raises(UringUnavailableError, match="not implemented"):
        Uring()


def test_a_ring_that_cannot_be_mapped_is_none(monkeypatch):
    def refused(*_, **__):
        raise PermissionError("mmap")

    ring(8).close()
    monkeypatch.setattr(io_uring.mmap, "mmap", refused)
    with pytest.raises(UringUnavailableError, match="mmap"):
        Uring()
