"""The committed stubs are what the .proto files say."""

from pathlib import Path

import grpc_tools
from grpc_tools import protoc

from tests.house.tree import ROOT

_WELL_KNOWN = Path(grpc_tools.__file__).parent / "_proto"


def test_stubs_are_what_make_protos_generates(tmp_path: Path):
    protos = sorted(path.relative_to(ROOT).as_posix() for path in (ROOT / "protos").glob("*.proto"))

    exit_code = protoc.main(
        [
            "protoc",
            f"-I{ROOT}",
            f"-I{_WELL_KNOWN}",
            f"--python_out={tmp_path}",
            f"--pyi_out={tmp_path}",
            f"--grpc_python_out={tmp_path}",
            *protos,
        ]
    )

    assert exit_code == 0
    fresh = {path.name: path.read_text("utf-8") for path in (tmp_path / "protos").iterdir()}
    committed = {path.name: path.read_text("utf-8") for path in (ROOT / "protos").glob("*_pb2*.py*")}
    assert fresh.keys() == committed.keys(), "run make protos"
    assert [name for name in fresh if fresh[name] != committed[name]] == [], "run make protos"
