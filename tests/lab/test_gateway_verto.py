"""FreeSWITCH's dialect at the lab gateway: its order, its SDP, and what only it has."""

from agent.lab.routes import ECHO_NUMBER
from tests.lab.raw_client import frames_until, short, without_candidates


class TestVerto:
    async def test_ringing_is_silent_and_media_comes_before_a_bare_answer(self, verto, client_of, real_offer):
        client = await client_of(verto)
        await client.log_in()
        await client.dial(ECHO_NUMBER, "c1", real_offer)

        frames = await frames_until(client, "answer")

        assert [short(frame) for frame in frames] == ["result", "media", "answer"]
        assert "sdp" not in frames[2]["params"]
        assert not any(key.startswith("telnyx") for key in frames[2]["params"])

    async def test_sdp_is_written_as_freeswitch_does(self, verto, client_of, real_offer):
        client = await client_of(verto)
        await client.log_in()
        await client.dial(ECHO_NUMBER, "c1", real_offer)

        sdp = (await client.until("media"))["params"]["sdp"]

        assert "a=mid" not in sdp
        assert "a=group" not in sdp
        assert " RTP/SAVPF " in sdp
        assert "UDP/TLS" not in sdp
        assert sdp.count("a=fingerprint:") == 1
        assert "o=FreeSWITCH" in sdp

    async def test_mdns_candidates_are_none(self, verto, client_of, real_offer):
        hidden = without_candidates(real_offer) + "a=candidate:1 1 udp 1 abc.local 9 typ host\r\n"
        client = await client_of(verto)
        await client.log_in()
        await client.dial(ECHO_NUMBER, "c1", hidden)

        bye = await client.until("bye")

        assert bye["params"] == {"callID": "c1", "cause": "INCOMPATIBLE_DESTINATION", "causeCode": 88}


class TestVertoTransfer:
    async def answered(self, verto, client_of, offer):
        client = await client_of(verto)
        await client.log_in()
        await client.dial(ECHO_NUMBER, "c1", offer)
        await client.until("answer")
        return client

    async def test_a_transferred_call_leaves_this_client(self, verto, client_of, real_offer):
        client = await self.answered(verto, client_of, real_offer)

        request_id = await client.send_call("modify", "c1", action="transfer", destination="9664")
        result = (await client.reply_to(request_id))["result"]

        assert result["message"] == "CALL TRANSFERRED"
        assert verto.legs[0].transferred_to == "9664"
        assert (await client.until("bye"))["params"]["callID"] == "c1"

    async def test_two_calls_of_one_client_can_replace_each_other(self, verto, client_of, real_offer):
        client = await self.answered(verto, client_of, real_offer)
        await client.dial("noanswer", "c2")
        unknown = await client.send_call("modify", "c1", action="replace", replaceCallID="zz")
        assert (await client.reply_to(unknown))["error"]["code"] == -32002

        await client.send_call("modify", "c1", action="replace", replaceCallID="c2")

        assert {(await client.until("bye"))["params"]["callID"] for _ in range(2)} == {"c1", "c2"}

    async def test_telnyx_has_no_transfer(self, gateway, client_of, real_offer):
        client = await self.answered(gateway, client_of, real_offer)
        request_id = await client.send_call("modify", "c1", action="transfer", destination="9664")
        assert "error" in await client.reply_to(request_id)
