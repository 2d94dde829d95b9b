"""Builds everything that follows from the protos into `gen/`, which git ignores.

`gen/` holds the Python modules (`vitalis.tracking.v1.wearables_pb2`, its gRPC
stub and typed stubs) and `vitalis.binpb`, a descriptor set that keeps comments.

The protos' own includes come from installed packages: google/api from
googleapis-common-protos, google/protobuf from grpcio-tools, and buf/validate
from the descriptor that protovalidate carries.
"""

import hashlib
import os
import shutil
import sys
import tempfile
from pathlib import Path

import google.api
import grpc_tools
import mypy_protobuf
import protovalidate._gen.buf.validate.validate_pb as validate_pb
from grpc_tools import protoc
from protobuf.wkt.google.protobuf import descriptor_pb

ROOT = Path(__file__).resolve().parent
GEN = ROOT.parent / "gen"
INCLUDES = (Path(google.api.__path__[0]).parents[1], Path(grpc_tools.__path__[0]) / "_proto")
DESCRIPTOR_SET = "vitalis.binpb"


def validate_descriptors() -> bytes:
    """The FileDescriptorSet of buf/validate/validate.proto and what it imports."""
    files: dict[str, descriptor_pb.FileDescriptorProto] = {}

    def add(file: object) -> None:
        for dependency in file.dependencies:  # type: ignore[attr-defined]
            add(dependency)
        files[file.proto.name] = file.proto  # type: ignore[attr-defined]

    add(validate_pb.desc())
    return descriptor_pb.FileDescriptorSet(file=list(files.values())).to_binary()


def run(*arguments: str) -> None:
    if code := protoc.main(["protoc", *arguments]):
        sys.exit(code)


def fingerprint(sources: list[Path]) -> str:
    digest = hashlib.sha256(sys.version.encode())
    for module in (grpc_tools, mypy_protobuf, validate_pb):
        digest.update(Path(str(module.__file__)).read_bytes())
    for path in [Path(__file__), *sources]:
        digest.update(path.read_bytes())
    return digest.hexdigest()


def build(protos: Path, target: Path, *, code: bool = True) -> None:
    """Compiles every proto below `protos` into the folder `target`."""
    sources = [str(path.relative_to(protos)) for path in sorted(protos.glob("vitalis/**/*.proto"))]
    with tempfile.TemporaryDirectory() as scratch:
        validate = Path(scratch) / "validate.binpb"
        validate.write_bytes(validate_descriptors())
        paths = [f"-I{path}" for path in (protos, *INCLUDES)] + [f"--descriptor_set_in={validate}"]
        run(
            *paths,
            "--include_imports",
            "--include_source_info",
            f"--descriptor_set_out={target / DESCRIPTOR_SET}",
            *sources,
        )
        if not code:
            return
        typed = [
            f"--plugin=protoc-gen-{name}={Path(sys.executable).parent / f'protoc-gen-{name}'}"
            for name in ("mypy", "mypy_grpc")
        ]
        run(
            *paths,
            *typed,
            f"--python_out={target}",
            f"--mypy_out=quiet:{target}",
            "buf/validate/validate.proto",
            *sources,
        )
        services = [source for source in sources if "\nservice " in (protos / source).read_text()]
        run(*paths, *typed, f"--grpc_python_out={target}", f"--mypy_grpc_out=quiet:{target}", *services)
    for package in target.rglob("*"):
        if package.is_dir():
            (package / "py.typed").touch()


def main() -> None:
    sources = sorted(ROOT.glob("vitalis/**/*.proto"))
    stamp = GEN / ".fingerprint"
    wanted = fingerprint(sources)
    if stamp.exists() and stamp.read_text() == wanted:
        return
    scratch = Path(tempfile.mkdtemp(dir=ROOT.parent, prefix=".gen-"))
    try:
        build(ROOT, scratch)
        (scratch / ".fingerprint").write_text(wanted)
        shutil.rmtree(GEN, ignore_errors=True)
        os.replace(scratch, GEN)
    finally:
        shutil.rmtree(scratch, ignore_errors=True)


if __name__ == "__main__":
    main()
