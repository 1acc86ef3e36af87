"""Encrypted connections, and identities on both ends."""

from pathlib import Path
from typing import Any

import grpc
import pytest
from authority import Authority, replace_file
from grpc_reflection.v1alpha import reflection_pb2, reflection_pb2_grpc

from headrace.chassis.rpc import renewing_channel
from headrace.chassis.rpc.client import open_channel
from headrace.chassis.tls.certificates import CertificatesError, ClientTls, ServerTls
from headrace.jobs.v1 import jobs_service_pb2
from headrace.jobs.v1.jobs_service_pb2_grpc import JobsServiceStub

ONE = jobs_service_pb2.GetJobRequest(job_id="1")


@pytest.fixture
def ours(tmp_path: Path) -> Authority:
    return Authority(tmp_path, "ours")


async def test_a_client_that_trusts_the_authority_is_answered(ours: Authority, serve: Any) -> None:
    served = serve(tls=ServerTls(*ours.issue("server")))
    async with served as (_, address), open_channel(address, tls=ClientTls(ours.certificate), timeout=10) as channel:
        assert await JobsServiceStub(channel).GetJob(ONE) == jobs_service_pb2.GetJobResponse()


async def test_reflection_is_asked_over_a_channel_that_renews_its_certificates(ours: Authority, serve: Any) -> None:
    served = serve(tls=ServerTls(*ours.issue("server")))
    request = reflection_pb2.ServerReflectionRequest(list_services="")
    async with served as (_, address), open_channel(address, tls=ClientTls(ours.certificate), timeout=10) as channel:
        call = reflection_pb2_grpc.ServerReflectionStub(channel).ServerReflectionInfo(iter([request]), timeout=10)
        answer = await call.read()
    assert "headrace.jobs.v1.JobsService" in {service.name for service in answer.list_services_response.service}


async def test_a_client_that_does_not_trust_the_server_sends_nothing(
    ours: Authority, tmp_path: Path, serve: Any, clerk: Any
) -> None:
    others = ClientTls(Authority(tmp_path, "others").certificate)
    served = serve(tls=ServerTls(*ours.issue("server")))
    async with served as (_, address), open_channel(address, tls=others, timeout=10) as channel:
        with pytest.raises(grpc.aio.AioRpcError) as refused:
            await JobsServiceStub(channel).GetJob(ONE)
    assert refused.value.code() == grpc.StatusCode.UNAVAILABLE
    assert clerk.contexts == []


async def test_where_clients_need_a_certificate_one_without_is_not_let_in(ours: Authority, serve: Any) -> None:
    server = ServerTls(*ours.issue("server"), client_ca=ours.certificate)
    async with serve(tls=server) as (_, address):
        known = ClientTls(ours.certificate, *ours.issue("client"))
        async with open_channel(address, tls=known, timeout=10) as channel:
            assert await JobsServiceStub(channel).GetJob(ONE) == jobs_service_pb2.GetJobResponse()
        async with open_channel(address, tls=ClientTls(ours.certificate), timeout=10) as channel:
            with pytest.raises(grpc.aio.AioRpcError) as refused:
                await JobsServiceStub(channel).GetJob(ONE)
    assert refused.value.code() == grpc.StatusCode.UNAVAILABLE


async def test_a_new_certificate_is_shown_to_new_connections_without_a_restart(
    ours: Authority, tmp_path: Path, serve: Any
) -> None:
    tls = ServerTls(*ours.issue("server"))
    others = Authority(tmp_path, "others")
    async with serve(tls=tls) as (_, address):
        async with open_channel(address, tls=ClientTls(ours.certificate), timeout=10) as old:
            await JobsServiceStub(old).GetJob(ONE)
            replace_file(tls.certificate, others.issue("next")[0])
            await refused(address, ClientTls(others.certificate))  # its key is not there yet
            replace_file(tls.key, tmp_path / "next-key.pem")
            async with open_channel(address, tls=ClientTls(others.certificate), timeout=10) as new:
                await JobsServiceStub(new).GetJob(ONE)
            await JobsServiceStub(old).GetJob(ONE)  # its connection lives on
        await refused(address, ClientTls(ours.certificate))


async def test_a_new_authority_for_clients_is_taken_into_use_without_a_restart(
    ours: Authority, tmp_path: Path, serve: Any
) -> None:
    tls = ServerTls(*ours.issue("server"), client_ca=tmp_path / "clients.pem")
    replace_file(tmp_path / "clients.pem", ours.certificate)
    others = Authority(tmp_path, "others")
    stranger = ClientTls(ours.certificate, *others.issue("stranger"))
    async with serve(tls=tls) as (_, address):
        await refused(address, stranger)
        replace_file(tmp_path / "clients.pem", others.certificate)
        async with open_channel(address, tls=stranger, timeout=10) as channel:
            await JobsServiceStub(channel).GetJob(ONE)


async def test_a_client_takes_a_new_authority_and_certificate_into_use_on_the_same_channel(
    ours: Authority, tmp_path: Path, serve: Any, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(renewing_channel, "LOOK_SECONDS", 0.0)
    server = ServerTls(*ours.issue("server"), client_ca=ours.certificate)
    others = Authority(tmp_path, "others")
    mine = ClientTls(tmp_path / "mine-ca.pem", tmp_path / "mine.pem", tmp_path / "mine-key.pem")
    for path, content in zip(mine.files, (others.certificate, *others.issue("client")), strict=True):
        replace_file(path, content)
    async with serve(tls=server) as (_, address), open_channel(address, tls=mine, timeout=10) as channel:
        stub = JobsServiceStub(channel)
        with pytest.raises(grpc.aio.AioRpcError):
            await stub.GetJob(ONE)
        for path, content in zip(mine.files, (ours.certificate, *ours.issue("client")), strict=True):
            replace_file(path, content)
        await stub.GetJob(ONE)
        mine.files[0].write_text("no certificate")
        await stub.GetJob(ONE)  # what can't be used changes nothing


@pytest.mark.parametrize("broken", ["certificate", "key", "client_ca", "pair"])
def test_files_that_are_no_certificates_are_refused_by_name(ours: Authority, tmp_path: Path, broken: str) -> None:
    certificate, key = ours.issue("server")
    paths = {"certificate": certificate, "key": key, "client_ca": ours.certificate}
    if broken == "pair":
        paths["key"] = broken_path = ours.issue("another")[1]
    else:
        paths[broken] = broken_path = tmp_path / "broken.pem"
        broken_path.write_text("-----BEGIN NOTHING-----")
    with pytest.raises(CertificatesError, match=str(broken_path)):
        ServerTls(**paths).credentials()
    with pytest.raises(CertificatesError, match="No such file"):
        ServerTls(**{**paths, "key": tmp_path / "missing.pem"}).credentials()


async def refused(address: str, tls: ClientTls) -> None:
    async with open_channel(address, tls=tls, timeout=10) as channel:
        with pytest.raises(grpc.aio.AioRpcError) as error:
            await JobsServiceStub(channel).GetJob(ONE)
    assert error.value.code() == grpc.StatusCode.UNAVAILABLE
