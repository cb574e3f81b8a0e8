"""What the comparison with Telnyx's SDK notices, and what it leaves to chance. No browser is needed here."""

from __future__ import annotations

from typing import Any

import pytest

from tests.interop.sdk.fields import differences, order
from tests.interop.sdk.golden import shape
from tests.interop.sdk.values import decided

Json = dict[str, Any]


def request(login: str = "door", **dialog: Any) -> Json:
    """A BYE as `differences` takes it."""
    fields = {"callID": login, "telnyxLegId": login, "caller_id_number": login, "timeoutSecs": 30} | dialog
    fields["userVariables"] = {"microphoneLabel": login, "floor": 2}
    params = {"sessid": login, "causeCode": 16, "dialogParams": fields}
    message = {"jsonrpc": "2.0", "id": login, "method": "telnyx_rtc.bye", "params": params}
    return {**shape([message])["requests"][0], "values": decided(message, login)}


def test_ids_names_of_microphones_and_the_own_login_are_no_difference() -> None:
    assert differences(request("door"), request("alice")) == {}


@pytest.mark.parametrize(
    ("dialog", "difference"),
    [
        ({"timeoutSecs": 30.0}, "~timeoutSecs"),
        ({"timeoutSecs": 31}, "~timeoutSecs"),
        ({"caller_id_number": "alice"}, "~caller_id_number"),
        ({"debug": True}, "+debug"),
    ],
)
def test_a_value_that_the_options_decide_is_one(dialog: Json, difference: str) -> None:
    assert set(differences(request("door", **dialog), request("alice"))) == {("bye", "dialogParams", difference)}


def test_the_order_of_messages_counts_but_not_how_many_candidates_there_are() -> None:
    def methods(*names: str) -> list[str]:
        return order([{"method": name} for name in names])

    assert methods("invite", "candidate", "candidate", "bye") == methods("invite", "candidate", "bye")
    assert methods("invite", "bye", "candidate") != methods("invite", "candidate", "bye")
    assert methods("info", "info") != methods("info")
