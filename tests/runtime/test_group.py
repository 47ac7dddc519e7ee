"""The exchange among processes, here threads with connections between them: answers, errors, and ends."""

import socket
from concurrent.futures import ThreadPoolExecutor

import numpy as np
import pytest

from bayesgmm.errors import ArgumentError, DataError, ProcessError
from bayesgmm.runtime import processes
from bayesgmm.runtime.group import Group
from bayesgmm.runtime.links import VALUE, Link, Message, accept_all, connect, listen, packed, unpacked

COUNT = 3


@pytest.fixture
def members():
    """Three processes that are connected."""
    pairs = {index: socket.socketpair() for index in range(1, COUNT)}
    first = Group(0, COUNT, {index: Link(pair[0]) for index, pair in pairs.items()})
    yield [first, *(Group(index, COUNT, {0: Link(pair[1])}) for index, pair in pairs.items())]
    for pair in pairs.values():
        for line in pair:
            line.close()


def outcomes(members, run):
    """What each gives, or its error."""
    with ThreadPoolExecutor(COUNT) as pool:
        tasks = [pool.submit(run, one) for one in members]
    return [task.exception() or task.result() for task in tasks]


def joined(parts):
    return {"x": np.concatenate([part["x"] for part in parts])}


def numbers(group):
    return group.exchange("numbers", lambda: {"x": np.full(group.index + 1, group.index)}, joined)["x"].tolist()


def test_all_get_the_parts_in_the_order_of_processes(members):
    assert outcomes(members, numbers) == [[0, 1, 1, 2, 2, 2]] * COUNT


def test_messages_keep_values_shapes_and_types():
    arrays = {
        "a": np.array(2.5),
        "b": np.arange(6).reshape(2, 3).T,
        "c": np.array(["é", "z"]),
        "d": np.zeros((0, 2), "f4"),
    }
    found = unpacked(VALUE, bytearray(packed(Message(VALUE, "words", arrays))[9:]))
    assert found.said == "words"
    for name, array in arrays.items():
        np.testing.assert_array_equal(found.arrays[name], array)
        assert (found.arrays[name].dtype, found.arrays[name].shape) == (array.dtype, array.shape)


def test_an_error_of_one_is_raised_in_all_and_they_go_on(members):
    def run(group):
        def own():
            if group.index == 2:
                raise DataError("a is infinite in row 7.")
            return {}

        return group.exchange("rows", own, lambda parts: {})

    errors = outcomes(members, run)
    assert {type(one) for one in errors} == {DataError}
    assert {str(one) for one in errors} == {"Process 2: a is infinite in row 7."}
    assert outcomes(members, numbers) == [[0, 1, 1, 2, 2, 2]] * COUNT


def test_processes_that_do_not_say_the_same_are_refused(members):
    errors = outcomes(members, lambda group: group.exchange(f"{group.index // 2} components", dict, lambda parts: {}))
    assert {type(one) for one in errors} == {ProcessError}
    assert {one.process for one in errors} == {2}
    assert "'1 components'; process 0: '0 components'" in str(errors[0])


@pytest.mark.parametrize("victim", [0, 1])
def test_an_end_is_named_in_all_others(members, victim):
    def run(group):
        if group.index == victim:
            for link in group._links.values():
                link.close()
            return None
        return numbers(group)

    errors = [one for one in outcomes(members, run) if one is not None]
    assert {type(one) for one in errors} == {ProcessError}
    assert {one.process for one in errors} == {victim}
    assert all("Start all processes again" in str(one) for one in errors)
    with pytest.raises(ProcessError, match=f"Process {victim} of 3 ended"):  # again, without a wait
        numbers(members[2])


def test_a_failure_between_exchanges_is_seen_during_long_work(members):
    for one in members:
        one.check()
    members[1].leave("failed (ValueError: of the user)")
    with pytest.raises(ProcessError, match=r"Process 1 of 3 failed \(ValueError: of the user\)"):
        members[0].check()
    with pytest.raises(ProcessError, match=r"Process 1 of 3 failed \(ValueError: of the user\)"):
        members[2].check()


def test_an_error_that_is_none_of_ours_ends_the_run_in_all(members):
    def run(group):
        return group.exchange("rows", lambda: {"x": np.ones(2) / (1 if group.index else int("x"))}, joined)

    own, *others = outcomes(members, run)
    assert isinstance(own, ValueError)
    assert {(type(one), one.process) for one in others} == {(ProcessError, 0)}
    assert "Process 0 of 3 failed (ValueError" in str(others[0])


def test_connections_need_the_token_and_a_number_that_is_free():
    server = listen(0)
    port = server.getsockname()[1]
    with ThreadPoolExecutor(1) as pool:
        waiting = pool.submit(accept_all, server, 3, b"t" * 16, 20.0)
        other = [connect("127.0.0.1", port, index, token, 5.0) for index, token in ((1, b"x" * 16), (7, b"t" * 16))]
        right = [connect("127.0.0.1", port, index, b"t" * 16, 5.0) for index in (2, 1)]
        assert sorted(waiting.result()) == [1, 2]
    assert [one.peek() for one in other] == [b"", b""]
    for link in [*other, *right, *waiting.result().values()]:
        link.close()


def test_processes_that_do_not_come_are_named():
    with pytest.raises(ProcessError, match="Process 1, 2 of 3 did not join within"):
        accept_all(listen(0), 3, b"t" * 16, 0.05)


def test_another_number_of_processes_is_told_to_both():
    server = listen(0)
    with ThreadPoolExecutor() as pool:
        waiting = pool.submit(accept_all, server, 2, b"2".zfill(16), 20.0)
        link = connect("127.0.0.1", server.getsockname()[1], 1, b"3".zfill(16), 5.0)
        with pytest.raises(ProcessError, match="Process 1 was started with num_processes=3, and this one with 2"):
            waiting.result()
    other = Group(1, 3, {0: link})
    with pytest.raises(ProcessError, match="Process 0 of 3 was started with num_processes=2, and process 1 with 3"):
        other.exchange("greeting", dict, lambda parts: {})
    other.close()


@pytest.mark.parametrize(
    "call",
    [("node1", 2, 0), (":80", 2, 0), ("a:b", 2, 0), ("a:70000", 2, 0), ("a:80", 0, 0), ("a:80", 2, 2), ("a:80", 2, -1)],
    ids=str,
)
def test_wrong_arguments_are_refused(call):
    with pytest.raises(ArgumentError):
        processes.join_processes(*call)
