"""What waits for a listener of the live feed."""

from typing import Any

from gateway import hub


def listener() -> hub.Listener:
    call: Any = None
    return hub.Listener(call, "", "request")


def test_several_events_carry_their_place_with_the_last():
    listening = listener()

    listening.tell([b"event: a\n\n", b"event: b\n\n"], "there")

    assert listening.take(0) == b"event: a\n\nid: there\nevent: b\n\n"


def test_who_hears_nothing_is_told_the_place_with_the_sign_of_life():
    listening = listener()

    listening.tell([], "there")

    assert listening.take(0) == b": still here\nid: there\n\n"


def test_who_does_not_read_costs_no_memory_and_is_told_to_read_anew():
    listening = listener()
    event = hub.event("message", {"body": "x" * 100_000})

    for n in range(50):
        listening.tell([event], f"place-{n}")

    assert listening.take(0) == b"id: place-49\nevent: reset\ndata: {}\n\n"
    listening.tell([event], "place-50")
    assert listening.take(0) == b"id: place-50\n" + event
