"""The protos through protoc's own generators of other languages."""

import re
import shutil
import subprocess
import sys
from pathlib import Path

import pytest

pytestmark = pytest.mark.process

PROTOC = shutil.which("protoc", path=str(Path(sys.executable).parent)) or "protoc"

LANGUAGES = {
    "cpp": ("", "deviceassignment/v1/device.pb.h", "namespace deviceassignment {"),
    "csharp": ("base_namespace=", "DeviceAssignment/V1/Device.cs", "namespace DeviceAssignment.V1 {"),
    "java": ("", "deviceassignment/v1/Device.java", "package deviceassignment.v1;"),
    "kotlin": ("", "deviceassignment/v1/DeviceKt.kt", "package deviceassignment.v1"),
    "objc": ("", "deviceassignment/v1/Device.pbobjc.h", "@interface DASDevice "),
    "php": ("", "DeviceAssignment/V1/Device.php", "namespace DeviceAssignment\\V1;"),
    "pyi": ("", "deviceassignment/v1/device_pb2.pyi", "class Device("),
    "python": ("", "deviceassignment/v1/device_pb2.py", ""),
    "rbs": ("", "deviceassignment/v1/device_pb.rbs", "module DeviceAssignment"),
    "ruby": ("", "deviceassignment/v1/device_pb.rb", "module DeviceAssignment"),
}
"""The option of each generator, a file that it makes, and a line in that file which names the package."""

COLLISION = """
syntax = "proto3";
package collision;
option java_multiple_files = true;
message Answer {
  repeated string devices = 1;
  int32 devices_count = 2;
}
"""

_NUMBERED = re.compile(r"\bget\w*?\d+(?:List|Count|Bytes|Value|ValueList)?\(")


def generate(language: str, option: str, protos: Path, folder: Path) -> None:
    files = sorted(str(path) for path in protos.rglob("deviceassignment/v1/*.proto"))
    subprocess.run([PROTOC, f"-I{protos}", f"--{language}_out={option}:{folder}", *files], check=True)


def numbered_getters(folder: Path) -> set[str]:
    return {name for path in folder.rglob("*.java") for name in _NUMBERED.findall(path.read_text())}


@pytest.mark.parametrize("language", LANGUAGES)
def test_each_language_gets_its_package_in_its_folder(language: str, tmp_path: Path) -> None:
    option, name, line = LANGUAGES[language]
    generate(language, option, Path("protos"), tmp_path)
    assert line in (tmp_path / name).read_text()
    elsewhere = {path.parent for path in tmp_path.rglob("*") if path.is_file()} - {(tmp_path / name).parent}
    metadata = {tmp_path / "DeviceAssignment" / "V1" / "Metadata"} if language == "php" else set()
    assert elsewhere == metadata


def test_no_java_getter_has_a_number(tmp_path: Path) -> None:
    """Protoc adds the fields' numbers to the names of getters that would collide."""
    generate("java", "", Path("protos"), tmp_path)
    assert (tmp_path / "deviceassignment" / "v1" / "DeviceProto.java").exists()
    assert not numbered_getters(tmp_path)


def test_protoc_adds_numbers_to_getters_that_collide(tmp_path: Path) -> None:
    (tmp_path / "deviceassignment" / "v1").mkdir(parents=True)
    (tmp_path / "deviceassignment" / "v1" / "collision.proto").write_text(COLLISION)
    generate("java", "", tmp_path, tmp_path)
    assert {"getDevices1List(", "getDevicesCount2("} <= numbered_getters(tmp_path)
