"""The webhooks that the stand-in sends, received by a real HTTP server and checked by Stripe's own library."""

import asyncio
import contextlib
import json
import sys
from collections.abc import AsyncIterator

import httpx
import pytest
import stripe
import uvicorn
from starlette.applications import Starlette
from starlette.requests import Request
from starlette.responses import Response
from starlette.routing import Route

from fake_stripe.app import Double
from fake_stripe.server import EmbeddedServer, address, bind, serving

SECRET = "whsec_of_this_test"


class Endpoint:
    """A webhook endpoint that keeps what it got."""

    def __init__(self) -> None:
        self.url = ""
        self.status = 200
        self.got: list[tuple[str, str]] = []

    async def take(self, request: Request) -> Response:
        self.got.append(((await request.body()).decode(), request.headers["stripe-signature"]))
        return Response(status_code=self.status)

    def events(self) -> list[str]:
        return [json.loads(body)["id"] for body, _ in self.got]


@pytest.fixture
async def endpoint() -> AsyncIterator[Endpoint]:
    endpoint = Endpoint()
    with contextlib.closing(bind("127.0.0.1", 0)) as listener:
        endpoint.url = f"{address(listener)}/hook"
        app = Starlette(routes=[Route("/hook", endpoint.take, methods=["POST"])])
        server = EmbeddedServer(uvicorn.Config(app, log_level="critical", lifespan="off"))
        task = asyncio.create_task(server.serve(sockets=[listener]))
        yield endpoint
        server.should_exit = True
        await task


@pytest.fixture
async def double(endpoint: Endpoint) -> Double:
    double = Double(webhook_url=endpoint.url, webhook_secret=SECRET)
    for name in "abcd":
        double.shop.create_customer(email=None, name=name, metadata={})
    return double


@pytest.fixture
async def control(double: Double) -> AsyncIterator[httpx.AsyncClient]:
    async with serving(double) as url, httpx.AsyncClient(base_url=f"{url}/_control") as client:
        yield client


async def test_each_webhook_is_signed_so_that_the_library_takes_it(
    control: httpx.AsyncClient, endpoint: Endpoint
) -> None:
    await control.post("/deliver")
    for body, signature in endpoint.got:
        assert stripe.Webhook.construct_event(body.encode(), signature, SECRET).type == "customer.created"
    assert len(endpoint.got) == 4


async def test_webhooks_come_twice_and_in_disorder_when_told_so(
    control: httpx.AsyncClient, endpoint: Endpoint, double: Double
) -> None:
    in_order = [event["id"] for event in double.shop.undelivered]
    told = (await control.post("/deliver", json={"duplicate": True, "shuffle": True, "seed": 1})).json()
    assert [delivery["event"] for delivery in told["deliveries"]] == endpoint.events()
    assert sorted(endpoint.events()) == sorted(in_order * 2)
    assert endpoint.events() != in_order * 2
    assert (await control.get("/pending")).json() == {"events": []}


async def test_a_skewed_clock_is_in_the_signature(control: httpx.AsyncClient, endpoint: Endpoint) -> None:
    await control.post("/deliver", json={"skew": -1000})
    body, signature = endpoint.got[0]
    with pytest.raises(stripe.SignatureVerificationError, match="tolerance"):
        stripe.Webhook.construct_event(body, signature, SECRET)


async def test_a_webhook_without_a_2xx_stays_pending_and_a_lost_one_does_not(
    control: httpx.AsyncClient, endpoint: Endpoint, double: Double
) -> None:
    endpoint.status = 503
    told = (await control.post("/deliver")).json()
    assert {delivery["status"] for delivery in told["deliveries"]} == {503}
    assert len(double.shop.undelivered) == 4
    assert (await control.post("/lose", json={})).json() == {"lost": 4}
    assert sum(1 for _ in double.store.all("event")) == 4


async def test_a_session_is_paid_by_a_control_call_and_a_wrong_call_says_what_is_wrong(
    control: httpx.AsyncClient, double: Double
) -> None:
    price = double.store.get("price", "price_pro_monthly")
    session = double.shop.create_checkout_session(
        [(price, 1)], {"customer": next(double.store.all("customer"))["id"]}, {}
    )
    assert (await control.post("/pay", json={"session": session["id"]})).json()["status"] == "complete"
    assert (await control.post("/pay", json={"session": session["id"]})).status_code == 400
    assert "KeyError: 'session'" in (await control.post("/pay")).json()["error"]
    assert "unknown fault 'melt'" in (await control.post("/faults", json={"kind": "melt"})).json()["error"]
    assert (await control.post("/faults", json={"rules": [{"kind": "down"}]})).json() == {"rules": 1}


async def test_the_program_says_where_it_listens_and_stops_on_sigterm() -> None:
    process = await asyncio.create_subprocess_exec(
        sys.executable, "-m", "fake_stripe", "--webhook-url", "http://127.0.0.1:9/", stdout=asyncio.subprocess.PIPE
    )
    assert process.stdout is not None
    url = json.loads(await process.stdout.readline())["listening"]
    async with httpx.AsyncClient(headers={"authorization": "Bearer sk_test_x"}) as client:
        assert (await client.get(f"{url}/v1/prices/price_pro_monthly")).json()["unit_amount"] == 1900
        ledger = (await client.get(f"{url}/_control/ledger")).json()["calls"]
    assert [(call["method"], call["path"], call["status"]) for call in ledger] == [
        ("GET", "/v1/prices/price_pro_monthly", 200)
    ]
    process.terminate()
    assert await process.wait() == 0
