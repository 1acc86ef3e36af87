"""What the wheels and sdists hold: licence, types and links; nothing of `buf`; nothing that a second one holds too."""

from __future__ import annotations

import re
import tarfile
from collections import Counter
from email import message_from_bytes
from email.message import Message
from pathlib import Path, PurePosixPath
from zipfile import ZipFile

import pytest

from tests.packaging.environments import ROOT, build, distributions, run_uv

pytestmark = pytest.mark.dist
each = pytest.mark.parametrize("name", distributions())
NAMESPACES = {"headrace", "headrace/jobs", "saas"}


def wheel(built: Path, name: str) -> ZipFile:
    [file] = built.glob(f"{name.replace('-', '_')}-*.whl")
    return ZipFile(file)


def files_of(found: ZipFile) -> dict[str, bytes]:
    """The files of a wheel that aren't about it."""
    return {name: found.read(name) for name in found.namelist() if ".dist-info/" not in name}


def metadata(found: ZipFile) -> Message:
    [name] = [each for each in found.namelist() if each.endswith(".dist-info/METADATA")]
    return message_from_bytes(found.read(name))


@each
def test_a_wheel_and_an_sdist_have_the_licence(built: Path, name: str) -> None:
    licence = (ROOT / "LICENSE").read_bytes()
    [inside] = [each for each in wheel(built, name).namelist() if each.endswith("licenses/LICENSE")]
    assert wheel(built, name).read(inside) == licence
    [sdist] = built.glob(f"{name.replace('-', '_')}-*.tar.gz")
    with tarfile.open(sdist) as archive:
        found = archive.extractfile(f"{sdist.name.removesuffix('.tar.gz')}/LICENSE")
        assert found is not None
        assert found.read() == licence


@each
def test_the_wheel_from_the_sdist_is_the_one_from_the_repository(built: Path, name: str, tmp_path: Path) -> None:
    run_uv("build", "--quiet", "--wheel", "--out-dir", tmp_path, distributions()[name], cwd=tmp_path)
    assert files_of(wheel(tmp_path, name)) == files_of(wheel(built, name))


@each
def test_an_unpacked_sdist_can_be_built_again(built: Path, name: str, tmp_path: Path) -> None:
    [sdist] = built.glob(f"{name.replace('-', '_')}-*.tar.gz")
    with tarfile.open(sdist) as archive:
        archive.extractall(tmp_path, filter="data")
    build(tmp_path / sdist.name.removesuffix(".tar.gz"), tmp_path)
    assert files_of(wheel(tmp_path, name)) == files_of(wheel(built, name))


@each
def test_every_package_is_marked_as_typed(built: Path, name: str) -> None:
    files = files_of(wheel(built, name))
    for file in files:
        folders = [str(parent) for parent in PurePosixPath(file).parents if str(parent) != "."]
        assert any(f"{folder}/py.typed" in files for folder in folders), f"{file} is below no py.typed"


@each
def test_namespaces_have_no_init(built: Path, name: str) -> None:
    assert not [f for f in files_of(wheel(built, name)) if f in {f"{space}/__init__.py" for space in NAMESPACES}]


def test_no_file_is_in_two_wheels_and_none_is_of_buf(built: Path) -> None:
    files = Counter(file for name in distributions() for file in files_of(wheel(built, name)))
    assert [file for file, times in files.items() if times > 1] == []
    assert {file.partition("/")[0] for file in files} == {
        *("headrace", "saas", "api_service", "jobs_service"),
        *(["saas_worker"] if "saas-worker" in distributions() else []),
    }


def test_no_wheel_of_the_platform_needs_the_product(built: Path) -> None:
    for name in distributions():
        needed = metadata(wheel(built, name)).get_all("Requires-Dist") or []
        if name.startswith("headrace-") and name != "headrace-api-service":
            assert not [each for each in needed if each.startswith(("saas", "stripe"))], name


@each
def test_a_distribution_says_whose_it_is_and_where_it_lives(built: Path, name: str) -> None:
    told = metadata(wheel(built, name))
    assert (told["License-Expression"], told["Author"]) == ("Apache-2.0", "The Headrace authors")
    classifiers = told.get_all("Classifier") or []
    assert "Typing :: Typed" in classifiers
    if "Private :: Do Not Upload" not in classifiers:
        assert "Programming Language :: Python :: 3.11" in classifiers
        assert told["Keywords"]
        links = dict(each.split(", ") for each in told.get_all("Project-URL") or [])
        assert links.keys() == {"Homepage", "Documentation", "Changelog", "Issues"}
        assert all(link.startswith("https://github.com/headrace/headrace") for link in links.values())


@each
def test_the_long_descriptions_links_lead_to_the_repository(built: Path, name: str) -> None:
    text = str(metadata(wheel(built, name)).get_payload())
    here = "https://github.com/headrace/headrace/blob/main/"
    for link in re.findall(r"(?<!!)\[[^\]]*\]\(([^)\s#]+)", text):
        assert link.startswith("https://"), link
        if link.startswith(here):
            assert (ROOT / link.removeprefix(here)).exists(), link
