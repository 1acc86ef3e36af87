"""The callers file: what it allows, and how a wrong one is refused."""

from pathlib import Path

import pytest

from headrace.chassis.rpc.tokens import token_hash
from jobs_service.callers.file import CallersFileError, load_callers, read_callers

HASH = token_hash("secret")
API = f'[[callers]]\nname = "api"\ntoken_sha256 = ["{HASH}"]\nkinds = ["saas.jobs.v1.*"]\nmethods = ["Enqueue"]\n'


@pytest.fixture
def file(tmp_path: Path) -> Path:
    return tmp_path / "callers.toml"


def test_a_caller_may_what_its_entry_says(file: Path) -> None:
    file.write_text(API)
    api = read_callers(file)["api"]
    assert api.may_enqueue("saas.jobs.v1.SendVerificationEmail")
    assert not api.may_enqueue("saas.jobs.v10.SendVerificationEmail")
    assert not api.may_enqueue("SAAS.jobs.v1.SendVerificationEmail")
    assert api.may_call("Enqueue")
    assert not api.may_call("CancelJob")


@pytest.mark.parametrize(
    ("content", "reason"),
    [
        ("", "callers: Field required"),
        ("callers = []", "callers: Tuple should have at least 1 item"),
        ("[[callers", "not TOML"),
        (API.replace('name = "api"\n', ""), "callers[0].name: Field required"),
        (API.replace(HASH, "abc"), "callers[0].token_sha256[0]: expected a token's SHA-256 as 64"),
        (API.replace(HASH, HASH.upper()), "callers[0].token_sha256[0]: expected a token's SHA-256 as 64"),
        (API.replace(f'"{HASH}"', ""), "callers[0]: expected token_sha256 or identities"),
        (
            API.replace('"Enqueue"', '"Enque"'),
            'callers[0].methods[0]: expected "*" or methods of JobsService: Enqueue,',
        ),
        (API.replace("saas.jobs.v1.*", "saas.*.v1"), "callers[0].kinds[0]: String should match pattern"),
        # RetryInfo could not say when to come back.
        (API + "rate = 1e-300\n", "callers[0].rate: Input should be greater than or equal to 0.000001"),
        (
            API + f"rate = 1\nburst = 1{'0' * 400}\n",
            "callers[0].burst: Input should be less than or equal to 1000000000",
        ),
        (API + "admin = true\n", "callers[0].admin: Extra inputs are not permitted"),
        (API + API.replace(HASH, token_hash("other")), "name 'api' appears 2 times"),
        (API + API.replace('"api"', '"ops"'), f"token_sha256 '{HASH}' appears 2 times"),
    ],
)
def test_a_wrong_file_is_refused_with_the_place(file: Path, content: str, reason: str) -> None:
    file.write_text(content)
    with pytest.raises(CallersFileError) as refused:
        read_callers(file)
    assert str(refused.value).startswith(f"{file}: ")
    assert reason in str(refused.value)


def test_a_missing_file_ends_the_program_with_the_variables_name(
    file: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    with pytest.raises(SystemExit) as ended:
        load_callers(file)
    assert ended.value.code == 2
    assert capsys.readouterr().err == f"JOBS_CALLERS_FILE: {file}: No such file or directory\n"
